"""Two models trained by the command, once for all tests: one from nothing, one from it with a new element.

And models as data, evaluated by mace itself.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from metals import make_free_atom, make_metals

from mace_mof_calc.cli import main
from mace_mof_calc.frames import write_frames
from mace_mof_calc.models.own import MODELS_VARIABLE
from mace_mof_calc.training.finetune.graphs import default_dtype, make_graphs, make_loader
from mace_mof_calc.training.finetune.model import make_trainable


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Folder with frames of copper (``Cu``) and of copper with gold, and the user's own models."""
    folder = tmp_path_factory.mktemp("workshop")
    write_frames(folder / "copper.extxyz", make_metals("Cu2", 16, seed=1, a=2.85))
    write_frames(folder / "alloy.extxyz", [make_free_atom("Au", 0.25), *make_metals("CuAu", 14, seed=2)])
    return SimpleNamespace(folder=folder, models=folder / "own models", copper=folder / "copper.extxyz")


def run(workshop, *words):
    """Run ``mace-mof finetune`` where the user's own models are those of the workshop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MODELS_VARIABLE, str(workshop.models))
        return main(["finetune", *map(str, words)])


@pytest.fixture(scope="session")
def scratch_words(workshop):
    network = ["--channels", "4", "--cutoff", "3.6", "--correlation", "2", "--foundation", "none"]
    name = ["--name", "copper", "-o", workshop.folder / "copper"]
    how = ["--epochs", "3", "--batch", "2", "--ema", "0.9", "--level-of-theory", "EMT", "--device", "cpu"]
    return [workshop.copper, *name, *network, *how]


@pytest.fixture(scope="session")
def copper(workshop, scratch_words):
    """Model trained from nothing; its JSON file in the folder of the training."""
    assert run(workshop, *scratch_words) == 0
    return workshop.folder / "copper" / "copper.json"


@pytest.fixture(scope="session")
def tuned_words(workshop, copper):
    name = ["--name", "my-alloy", "-o", workshop.folder / "tuned"]
    start = ["--foundation", "copper", "--replay", workshop.copper, "--split", "fps"]
    how = ["--epochs", "2", "--batch", "4", "--lr", "3e-3", "--ema", "0.9", "--level-of-theory", "EMT", "--dispersion"]
    return [workshop.folder / "alloy.extxyz", *name, *start, *how]


@pytest.fixture(scope="session")
def tuned(workshop, tuned_words) -> Path:
    """Model fine-tuned from the other, with gold, which it did not know."""
    assert run(workshop, *tuned_words) == 0
    return workshop.folder / "tuned" / "my-alloy.json"


@pytest.fixture
def evaluate_with_mace():
    """Function of a model as data, an ``Atoms`` and a head, that returns energy, forces and stress in one array."""

    def evaluate(model, atoms, head="Default"):
        module = make_trainable(model, "float64", "cpu")
        with default_dtype("float64"):
            (graph,) = make_loader(make_graphs([atoms], head, model.hyperparameters), 1, shuffle=False)
            found = module(graph.to_dict(), compute_stress=True)
        parts = [found[name].detach().ravel() for name in ("energy", "forces", "stress")]
        return torch.cat(parts).numpy()

    return evaluate

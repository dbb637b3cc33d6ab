"""Models as data, evaluated by mace itself."""

import dataclasses

import pytest
import torch

from mace_mof_calc.training.finetune.graphs import default_dtype, make_graphs, make_loader
from mace_mof_calc.training.finetune.model import describe_module, make_trainable

from ...conftest import TINY, make_module

VARIANTS = {
    "as MACE-MP-0b": {"pair_repulsion": True, "distance_transform": "Agnesi"},
    "all kinds of blocks": {
        "interaction_cls": "RealAgnosticDensityInteractionBlock",
        "interaction_cls_first": "RealAgnosticResidualInteractionBlock",
        "correlation": (3, 2),
    },
}


@pytest.fixture(params=list(VARIANTS))
def blueprint(request):
    """Model with random parameters and one head, of H C O Al Zn Zr."""
    return describe_module(make_module(dataclasses.replace(TINY, **VARIANTS[request.param])))


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

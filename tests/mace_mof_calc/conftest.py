"""Models for the tests: stand-ins for the published files, and a tiny packed model with random parameters."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from mace_mof_calc.backend import import_mace
from mace_mof_calc.models import weights
from mace_mof_calc.models.hyperparameters import Hyperparameters
from mace_mof_calc.models.packed import save_packed

STANDINS = Path(__file__).parent / "standins"

TINY_CARD = {
    "name": "tiny",
    "title": "Random parameters",
    "level_of_theory": "none",
    "dispersion_included": False,
    "elements": ["H", "C", "O", "Al", "Zn", "Zr"],
    "curated_elements": [],
    "licence": "MIT",
    "citation": "none",
    "doi": "",
    "mace_version": "0.3.14",
    "notes": "For tests.",
}

TINY = Hyperparameters(
    r_max=4.0,
    num_bessel=4,
    num_polynomial_cutoff=5,
    max_ell=1,
    num_interactions=2,
    interaction_cls="RealAgnosticResidualInteractionBlock",
    interaction_cls_first="RealAgnosticInteractionBlock",
    hidden_irreps="4x0e+4x1o",
    MLP_irreps="4x0e",
    correlation=(2, 2),
    radial_MLP=(8, 8),
    atomic_numbers=(1, 6, 8, 13, 30, 40),
    heads=("Default",),
    avg_num_neighbors=12.0,
    pair_repulsion=False,
    distance_transform="None",
    activation_constant=1.6791767923989418,
)


def make_module(
    hyperparameters: Hyperparameters = TINY, *, dtype: torch.dtype = torch.float64, **options: object
) -> torch.nn.Module:
    """Make a model with random parameters by mace's constructor, which may be given options of its own."""
    import_mace()
    import e3nn
    from e3nn.o3 import Irreps
    from mace.modules import ScaleShiftMACE, interaction_classes

    values = hyperparameters.to_json()
    del values["activation_constant"]  # the constructor samples it
    for key in ("interaction_cls", "interaction_cls_first"):
        values[key] = interaction_classes[values[key]]
    for key in ("hidden_irreps", "MLP_irreps"):
        values[key] = Irreps(values[key])
    heads, elements = len(values["heads"]), len(values["atomic_numbers"])
    previous, settings = torch.get_default_dtype(), e3nn.get_optimization_defaults()
    torch.set_default_dtype(dtype)
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return ScaleShiftMACE(
                **{"gate": torch.nn.functional.silu, **values, **options},
                num_elements=elements,
                atomic_energies=-np.arange(1.0, 1.0 + heads * elements).reshape(heads, elements),
                atomic_inter_scale=np.full(heads, 0.5),
                atomic_inter_shift=np.linspace(0.1, 0.2, heads),
            )
    finally:
        torch.set_default_dtype(previous)
        e3nn.set_optimization_defaults(**settings)


def save_pickle(thing: object, path: Path) -> Path:
    """Save as mace's trainer does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e3nn saves what it generated as TorchScript, which is deprecated
        torch.save(thing, path)
    return path


@pytest.fixture(scope="session")
def multihead_file() -> Path:
    """File with heads ``pt_head`` and ``Default`` in float64, elements H C O Zn, written by mace-torch 0.3.8."""
    return STANDINS / "multihead-0.3.8.model"


@pytest.fixture(scope="session")
def foundation_file() -> Path:
    """File with one head, float32, elements H C O Zn, of the class of MACE-MP-0b, written by mace-torch 0.3.8."""
    return STANDINS / "foundation-0.3.8.model"


@pytest.fixture(scope="session")
def tiny_packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed model with random parameters, elements H C O Al Zn Zr, head ``Default``; the JSON file."""
    return save_packed(make_module(), tmp_path_factory.mktemp("tiny") / "tiny", TINY_CARD)


@pytest.fixture
def crystal() -> Atoms:
    """Rattled crystal of H, C, O and Zn without symmetry, one pair close enough for the pair repulsion."""
    rng = np.random.default_rng(1)
    atoms = bulk("NaCl", "rocksalt", a=4.4) * (2, 1, 1)
    atoms.numbers = [1, 6, 8, 30]
    atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
    atoms.positions[0] = atoms.positions[1] + [0.8, 0.3, 0.2]
    return atoms


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty cache of models, and no other place to look."""
    directory = tmp_path / "cache" / "models"
    monkeypatch.setattr(weights, "cache_directory", lambda: directory)
    monkeypatch.delenv(weights.MODELS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return directory

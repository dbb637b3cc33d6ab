"""Networks with random parameters, and a crystal of copper with a Hessian by ASE's effective medium theory."""

import dataclasses

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from metals import label

from mace_mof_calc.training.finetune.model import describe_module
from mace_mof_calc.training.hessians import attach_hessian, compute_rows

from ...conftest import TINY, make_module

RESIDUAL = "RealAgnosticResidualInteractionBlock"
VARIANTS = {
    "as mini": {
        "interaction_cls_first": RESIDUAL,
        "max_ell": 3,
        "correlation": (3, 3),
        "pair_repulsion": True,
    },
    "as MACE-MP-0b": {"max_ell": 3, "correlation": (3, 3), "pair_repulsion": True, "distance_transform": "Agnesi"},
    "otherwise": {
        "num_interactions": 3,
        "correlation": (2, 3, 1),
        "max_ell": 2,
        "hidden_irreps": "4x0e+4x1o+4x2e",
    },
}


@pytest.fixture(params=list(VARIANTS))
def blueprint(request):
    """Model with random parameters and one head, of H C O Al Zn Zr."""
    return describe_module(make_module(dataclasses.replace(TINY, **VARIANTS[request.param])))


def make_small(atomic_numbers):
    return describe_module(make_module(dataclasses.replace(TINY, atomic_numbers=atomic_numbers, r_max=3.6)))


@pytest.fixture(scope="session")
def minimum():
    """Four atoms at their minimum, labelled, with their Hessian."""
    atoms = bulk("Cu", a=3.59, cubic=True)
    atoms.info.update(source="Cu", name="Cu-hessian", kind="minimum")
    rows = [compute_rows(atoms, index, EMT()) for index in range(4)]
    return attach_hessian(label(atoms), np.reshape(rows, (12, 12)))


@pytest.fixture(scope="session")
def frames(minimum):
    """Twenty-four labelled frames of it, rattled and strained."""
    random, found = np.random.default_rng(1), []
    for k in range(24):
        atoms = bulk("Cu", a=3.59, cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + random.normal(scale=0.01, size=(3, 3))), scale_atoms=True)
        atoms.positions += random.normal(scale=0.06, size=(4, 3))
        atoms.info.update(source="Cu", name=f"Cu-rattle-{k}", kind="rattle")
        found.append(label(atoms))
    return found

"""Calculators that take no time or fail, and crystals of copper."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT


class Unreliable(EMT):
    """EMT that fails from some evaluation on, by an error of the calculator or by the user's patience."""

    def __init__(self, lasts: int = 10**9, error: type[BaseException] = CalculationFailed) -> None:
        super().__init__()
        self.lasts, self.error, self.calls = lasts, error, 0

    def calculate(self, *args, **kwargs):
        self.calls += 1
        if self.calls > self.lasts:
            raise self.error("no convergence")
        super().calculate(*args, **kwargs)


@pytest.fixture
def copper() -> Atoms:
    """Four atoms, stretched and rattled, called Cu."""
    atoms = bulk("Cu", a=3.65, cubic=True)
    atoms.positions += np.random.default_rng(1).normal(scale=0.05, size=(4, 3))
    atoms.info["source"] = "Cu"
    return atoms


@pytest.fixture
def gold() -> Atoms:
    """Two atoms, called Au."""
    atoms = bulk("Au", a=4.05) * (2, 1, 1)
    atoms.info["source"] = "Au"
    return atoms


@pytest.fixture
def unreliable() -> type[Unreliable]:
    return Unreliable

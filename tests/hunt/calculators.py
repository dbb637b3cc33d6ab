"""Calculators that commands, and the processes that these start, know by name."""

import os
import sys
from pathlib import Path

import pytest
from distributions import write_distribution

CALCULATORS = '''
import os
import time

from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT


class Forgetful(EMT):
    """Sums in the same order whatever it was asked before, so that what goes on gives the same to the last digit."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        time.sleep(float(os.environ.get("HUNT_SECONDS", "0")))
        super().calculate(atoms, properties, all_changes)


class Stiff(Forgetful):
    def calculate(self, *words, **options):
        super().calculate(*words, **options)
        for name in {"energy", "free_energy", "forces", "stress"} & self.results.keys():
            self.results[name] = 1.1 * self.results[name]


def emt(*, device, dtype):
    return EMT()


def slow(*, device, dtype):
    return Forgetful()


def stiff(*, device, dtype):
    return Stiff()
'''

POINTS = """[phonopy_mlp.calculators]
emt = hunt_calculators:emt
hunt = hunt_calculators:slow
hunt-stiff = hunt_calculators:stiff
"""


def register(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the calculators known to this process and to its children."""
    write_distribution(folder, "hunt_calculators", CALCULATORS, POINTS)
    patch.syspath_prepend(str(folder))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))

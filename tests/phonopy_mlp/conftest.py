"""Calculators and structures that the tests share."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from distributions import write_distribution

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"

_FACTORIES = """
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones


def emt(*, device, dtype):
    return EMT()


def broken(*, device, dtype):
    raise RuntimeError("no such device: " + device)


class NoDevice(ValueError):
    what = "Device abacus was asked for."
    why = "There is none."
    remedy = "Use cpu."


def clear(*, device, dtype):
    raise NoDevice("never shown")


def copper_only(*, device, dtype):
    calculator = EMT()
    calculator.describe = lambda: {"name": "copper-only", "elements": ("Cu",), "force_noise": 1e-6}
    return calculator


class Choosy(EMT):
    domain_checks = ("contact",)

    def check_domain(self, atoms):
        distances = atoms.get_all_distances(mic=True)[0][1:]
        if distances.min() > 2.5:
            return ()
        return ({"kind": "contact", "atoms": (0, 1), "message": "Atoms 0 and 1 are too close."},)


class Unsure(Choosy):
    @property
    def domain_checks(self):
        raise RuntimeError("the record is of another model")


class Stretched(EMT):
    # Every frequency is the root of 2 times as high.

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results = {name: 2 * value for name, value in self.results.items()}


def twice(*, device, dtype):
    return Stretched()


class Both(EMT):
    def make_members(self):
        return [EMT(), Stretched()]


def both(*, device, dtype):
    return Both()


def unsure(*, device, dtype):
    return Unsure()


def choosy(*, device, dtype):
    return Choosy()


class Forceful(EMT):
    implemented_properties = ["energy", "forces"]


def no_stress(*, device, dtype):
    return Forceful()


class Failing(EMT):
    def calculate(self, *args, **kwargs):
        raise RuntimeError("out of memory")


def failing(*, device, dtype):
    return Failing()


def from_file(path, *, device, dtype):
    with open(path) as file:
        if file.read(3) != "emt":
            raise ValueError("not a model file")
    return EMT()
"""

_ENTRY_POINTS = """
[phonopy_mlp.calculators]
emt = phonopy_mlp_test_calculators:emt
broken = phonopy_mlp_test_calculators:broken
clear = phonopy_mlp_test_calculators:clear
no-stress = phonopy_mlp_test_calculators:no_stress
failing = phonopy_mlp_test_calculators:failing
twice = phonopy_mlp_test_calculators:twice
both = phonopy_mlp_test_calculators:both
choosy = phonopy_mlp_test_calculators:choosy
unsure = phonopy_mlp_test_calculators:unsure
copper-only = phonopy_mlp_test_calculators:copper_only

[phonopy_mlp.model_files]
model = phonopy_mlp_test_calculators:from_file
"""


@pytest.fixture(scope="session")
def distribution(tmp_path_factory):
    """Folder of an installed distribution that registers calculators without torch."""
    folder = tmp_path_factory.mktemp("distribution")
    return write_distribution(folder, "phonopy_mlp_test_calculators", _FACTORIES, _ENTRY_POINTS)


@pytest.fixture
def registered(distribution, monkeypatch):
    """Make the test calculators known to this process and to its children."""
    monkeypatch.syspath_prepend(str(distribution))
    monkeypatch.setenv("PYTHONPATH", str(distribution))
    return distribution


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Work in an empty folder that holds copper as CIF."""
    monkeypatch.chdir(tmp_path)
    write("Cu.cif", bulk("Cu", cubic=True))
    return tmp_path


@pytest.fixture(scope="session")
def reference():
    """Folder of the published data of the paper."""
    if not REFERENCE.is_dir():
        pytest.skip(f"published reference data are not at {REFERENCE}")
    return REFERENCE


@pytest.fixture(scope="session")
def mof5_forces(reference, tmp_path_factory):
    """The published displacements and forces of MACE-MP-MOF0 for MOF-5, as a phonopy yaml."""
    path = tmp_path_factory.mktemp("mof5") / "mof-5-phonopy.yaml"
    path.write_bytes(lzma.decompress((reference / "phonons/MOF-5/mof0/mof-5-phonopy.yml.xz").read_bytes()))
    return path

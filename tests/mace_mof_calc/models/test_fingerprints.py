import json
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.units import Bohr

from mace_mof_calc import structures
from mace_mof_calc.errors import ModelFileError, UnknownModelError
from mace_mof_calc.models import fingerprints
from mace_mof_calc.models.fingerprints import MOF5, Verification, make_mof5, record_fingerprint, verify
from mace_mof_calc.models.packed import read_packed, save_packed

from ..conftest import TINY_CARD, make_module

REFERENCE = Path(__file__).parents[4] / "shared" / "reference"


class Constant(Calculator):
    """Gives the energy and the largest force it is told."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012  (ASE's way)

    def __init__(self, energy, force=0.0):
        super().__init__()
        self.energy, self.force = energy, force

    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(self.atoms), 3))
        forces[0] = self.force * np.array([0.6, 0.0, -0.8])
        self.results = {"energy": self.energy, "forces": forces}


@pytest.mark.parametrize("name", list(MOF5))
def test_mof5(name):
    atoms = make_mof5(name)
    assert atoms.get_chemical_formula() == "C48H24O26Zn8"
    assert atoms.pbc.all()
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
    assert 1.08 < distances.min() < 1.10  # C-H
    zinc = atoms[atoms.numbers == 30].get_all_distances(mic=True)
    assert np.sort(zinc[0])[1] == pytest.approx(3.2, abs=0.05)
    np.testing.assert_allclose(atoms.cell.lengths(), MOF5[name].a / np.sqrt(2))


@pytest.mark.parametrize(("name", "frame"), [("mp-0b-d3", 2), ("mof0", 3), ("mof0-v2", 4)])
def test_mof5_is_the_published_structure(name, frame):
    path = REFERENCE / "structures" / "MOF-5_optimized_5methods.extxyz"
    if not path.is_file():
        pytest.skip(f"no reference data: {path} is missing")
    published, ours = read(path, index=frame), make_mof5(name)
    assert published.get_potential_energy() == pytest.approx(MOF5[name].energy, abs=1e-6)
    assert published.cell.volume == pytest.approx(ours.cell.volume, rel=1e-6)
    for number in set(ours.numbers):
        found, expected = (
            np.sort(atoms.get_all_distances(mic=True)[atoms.numbers == number].ravel()) for atoms in (ours, published)
        )
        np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("energy", "force", "passed"),
    [(9e-4, 9e-5, True), (-9e-4, 0.0, True), (1.1e-3, 0.0, False), (0.0, 1.1e-4, False)],
)
@pytest.mark.parametrize("name", ["mof0", "mof0-v2"])
def test_verification_of_a_published_model(name, energy, force, passed, monkeypatch):
    asked = []

    def make(model, *, device):
        asked.append((model, device))
        return Constant(MOF5[name].energy + energy, force)

    monkeypatch.setattr("mace_mof_calc.calculator.MaceMOF", make)
    outcome = verify(name, device="cpu")
    assert asked == [(name, "cpu")]
    assert outcome.passed is passed
    assert outcome.max_force == pytest.approx(force)
    assert outcome.energy - outcome.expected_energy == pytest.approx(energy)


@pytest.mark.parametrize("right", [40.0, 95.0])
def test_verification_of_mp_0b_d3_says_which_cutoff(right, monkeypatch):
    def make(*, device, cutoff):
        return Constant(MOF5["mp-0b-d3"].energy + (0.0 if round(cutoff / Bohr) == right else 6e-3))

    monkeypatch.setattr("mace_mof_calc.comparators.MaceMP0bD3", make)
    outcome = verify("mp-0b-d3", device="cpu")
    assert outcome.passed
    assert outcome.settings == f"D3 cutoff {right:g} Bohr"


def test_no_fingerprint():
    with pytest.raises(UnknownModelError, match="There is one of mof0, mof0-v2, mp-0b-d3"):
        verify("mp-0b")


def test_packed_model_agrees_with_its_own_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(structures, "load", lambda name: make_mof5("mof0"))
    path = save_packed(make_module(), tmp_path / "tiny", TINY_CARD)
    with pytest.raises(ModelFileError, match="holds no fingerprint"):
        fingerprints._verify_packed("tiny", path, "cpu")
    recorded = record_fingerprint(path)
    assert recorded == read_packed(path).fingerprint
    outcome = fingerprints._verify_packed("tiny", path, "cpu")
    assert outcome.passed
    assert (outcome.energy, outcome.max_force) == pytest.approx((recorded.energy, recorded.max_force), abs=1e-9)
    assert recorded.max_force > 1e-3

    document = json.loads(path.read_text())
    document["fingerprint"]["energy"] += 2e-3
    path.write_text(json.dumps(document))
    assert not fingerprints._verify_packed("tiny", path, "cpu").passed


def test_verification_is_frozen():
    outcome = Verification("mof0", "MOF-5", -1.0, -1.0, 0.0, 0.0)
    with pytest.raises(AttributeError):
        outcome.energy = 0.0

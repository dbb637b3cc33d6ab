"""What every registered calculator must do, ours or a stranger's.

Add a case to `CASES` to put another calculator through the same tests.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from ase.stress import voigt_6_to_full_3x3_stress

from mace_mof_calc import MaceMP0bD3
from mace_mof_calc.errors import StructureError, UnsupportedElementError
from mace_mof_calc.registry import from_file
from phonopy_mlp.protocols import SupportsBatch, SupportsLinearResponse

STANDINS = Path(__file__).parents[1] / "mace_mof_calc" / "standins"
DESCRIPTION_KEYS = {
    "citation",
    "device",
    "digest",
    "dispersion",
    "dtype",
    "elements",
    "force_noise",
    "head",
    "level_of_theory",
    "licence",
    "name",
    "versions",
}


@dataclass(frozen=True)
class Tolerances:
    """How closely a calculator must keep to each rule.

    Attributes
    ----------
    extensivity : float
        Energy of a supercell per cell against the cell's, eV per atom.
    forces, stress : float
        Against central differences of the energy, eV/Angstrom and eV/Angstrom^3.
    energy_invariance, forces_invariance : float
        Under translation, rotation and permutation, eV and eV/Angstrom.
    repetition : float
        Forces of the same structure computed again, eV/Angstrom.
    response : float
        Linear response against differences of forces, over the largest entry.
    """

    extensivity: float = 1e-10
    forces: float = 1e-7
    stress: float = 1e-8
    energy_invariance: float = 1e-9
    forces_invariance: float = 1e-9
    repetition: float = 0.0
    response: float = 1e-6


@dataclass(frozen=True)
class Case:
    """A calculator, a small periodic structure without symmetry that it knows, and an element that it does not.

    `needs` is the module that it is made of, where that is not always installed.
    """

    make: Callable[[], BaseCalculator]
    structure: Callable[[], Atoms]
    unknown_element: str
    tolerances: Tolerances = Tolerances()
    needs: str | None = None


def by_name(name: str) -> BaseCalculator:
    (entry_point,) = entry_points(group="phonopy_mlp.calculators", name=name)
    return entry_point.load()(device="cpu")


def methanol_crystal(size: float) -> Atoms:
    """One methanol in a triclinic cell whose axes are about `size` Angstrom long, off its minimum."""
    atoms = molecule("CH3OH")
    atoms.set_cell([size, 1.07 * size, 1.13 * size, 84, 95, 101])
    atoms.pbc = True
    atoms.rattle(0.05, seed=1)
    return atoms


def zinc_oxide() -> Atoms:
    """Wurtzite ZnO with displaced atoms; every atom sees images of itself."""
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    atoms.rattle(0.05, seed=1)
    return atoms


# The dispersion ends at a cutoff, where its energy jumps (by 1e-9 eV per pair at 95 Bohr) and its stress knows nothing
# of it.
TRUNCATED = Tolerances(extensivity=1e-9, forces=1e-6, stress=1e-6)
# tblite: noise of the self-consistent cycle; one k-point, so that a supercell is not quite the same crystal; lattice
# sums whose end depends on where the atoms are in the cell.
SELF_CONSISTENT = Tolerances(
    extensivity=1e-5, forces=1e-5, stress=1e-7, energy_invariance=2e-6, forces_invariance=1e-5, repetition=1e-5
)

CASES = {
    "mini": Case(partial(by_name, "mini"), zinc_oxide, "He"),
    "gfn1-xtb": Case(partial(by_name, "gfn1-xtb"), partial(methanol_crystal, 11.0), "Fr", SELF_CONSISTENT, "tblite"),
    "multi-head file": Case(partial(from_file, STANDINS / "multihead-0.3.8.model", device="cpu"), zinc_oxide, "He"),
    "one-head file": Case(
        partial(from_file, STANDINS / "foundation-0.3.8.model", device="cpu"), partial(methanol_crystal, 5.0), "He"
    ),
    "mp-0b-d3 on a stand-in": Case(
        partial(MaceMP0bD3, STANDINS / "foundation-0.3.8.model", device="cpu"),
        partial(methanol_crystal, 6.0),
        "He",
        TRUNCATED,
        "torch_dftd",
    ),
}


@cache
def calculator(name: str) -> BaseCalculator:
    return CASES[name].make()


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    needs = CASES[request.param].needs
    if needs is not None:
        pytest.importorskip(needs, reason=f"{needs} is not installed")
    return request.param


@pytest.fixture
def case(name: str) -> Case:
    return CASES[name]


@pytest.fixture
def atoms(name: str, case: Case) -> Atoms:
    structure = case.structure()
    structure.calc = calculator(name)
    return structure


def like(atoms: Atoms, **changes: np.ndarray) -> Atoms:
    """Copy of `atoms` with the same calculator and another cell or other positions."""
    other = atoms.copy()
    for attribute, value in changes.items():
        setattr(other, attribute, value)
    other.calc = atoms.calc
    return other


def central_difference(function: Callable[[float], float], step: float) -> float:
    """First derivative at zero from four points; the error is of fourth order in `step`."""
    return (8 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))) / (12 * step)


def test_energy_is_extensive(atoms: Atoms, case: Case) -> None:
    supercell = atoms.copy() * (2, 1, 1)
    supercell.calc = atoms.calc
    difference = supercell.get_potential_energy() / 2 - atoms.get_potential_energy()
    assert abs(difference) / len(atoms) <= case.tolerances.extensivity


def test_forces_are_the_derivative_of_the_energy(atoms: Atoms, case: Case) -> None:
    forces = atoms.get_forces()
    rng = np.random.default_rng(0)
    for _ in range(4):
        direction = rng.normal(size=forces.shape)
        direction /= np.linalg.norm(direction)
        slope = central_difference(
            lambda x, d=direction: like(atoms, positions=atoms.positions + x * d).get_potential_energy(), 0.003
        )
        assert -np.vdot(forces, direction) == pytest.approx(slope, rel=0, abs=case.tolerances.forces)


@pytest.mark.parametrize("component", range(6), ids=["xx", "yy", "zz", "yz", "xz", "xy"])
def test_stress_is_the_derivative_of_the_energy(atoms: Atoms, case: Case, component: int) -> None:
    strain = voigt_6_to_full_3x3_stress(np.eye(6)[component])
    strain *= 1.0 / strain.sum()  # a shear is shared between its two places

    def energy(x: float) -> float:
        deformation = np.eye(3) + x * strain
        return like(
            atoms, cell=atoms.cell @ deformation, positions=atoms.positions @ deformation
        ).get_potential_energy()

    slope = central_difference(energy, 5e-4) / atoms.get_volume()
    assert atoms.get_stress()[component] == pytest.approx(slope, rel=0, abs=case.tolerances.stress)


def test_translation_changes_nothing(atoms: Atoms, case: Case) -> None:
    moved = like(atoms, positions=atoms.positions + np.array([3.1, -7.4, 12.9]))
    wrapped = like(moved, positions=moved.get_positions(wrap=True))
    for other in (moved, wrapped):
        assert_same(other, atoms, case.tolerances, atoms.get_forces(), atoms.get_stress())


def test_rotation_turns_forces_and_stress(atoms: Atoms, case: Case) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation)
    turned = like(atoms, cell=atoms.cell @ rotation, positions=atoms.positions @ rotation)
    stress = rotation.T @ atoms.get_stress(voigt=False) @ rotation
    assert_same(turned, atoms, case.tolerances, atoms.get_forces() @ rotation, stress.flat[[0, 4, 8, 5, 2, 1]])


def test_permutation_permutes_forces(atoms: Atoms, case: Case) -> None:
    order = np.random.default_rng(3).permutation(len(atoms))
    permuted = atoms.copy()[order]
    permuted.calc = atoms.calc
    assert_same(permuted, atoms, case.tolerances, atoms.get_forces()[order], atoms.get_stress())


def assert_same(other: Atoms, atoms: Atoms, tolerances: Tolerances, forces: np.ndarray, stress: np.ndarray) -> None:
    energy = atoms.get_potential_energy()
    assert other.get_potential_energy() == pytest.approx(energy, rel=0, abs=tolerances.energy_invariance)
    np.testing.assert_allclose(other.get_forces(), forces, rtol=0, atol=tolerances.forces_invariance)
    # Over a length of 1 Angstrom: the stress is made of forces times lengths over a volume of some Angstrom^3.
    np.testing.assert_allclose(other.get_stress(), stress, rtol=0, atol=tolerances.forces_invariance)


def test_repeated_calculation_gives_the_same(name: str, case: Case) -> None:
    first, second = case.structure(), case.structure()
    first.calc, second.calc = case.make(), case.make()
    forces = first.get_forces()
    np.testing.assert_allclose(second.get_forces(), forces, rtol=0, atol=case.tolerances.repetition)
    first.calc.results = {}
    np.testing.assert_allclose(first.get_forces(), forces, rtol=0, atol=case.tolerances.repetition)


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda calc: pickle.loads(pickle.dumps(calc))], ids=["copy", "pickle"]
)
def test_copy_gives_the_same(atoms: Atoms, case: Case, clone: Callable[[BaseCalculator], BaseCalculator]) -> None:
    forces = atoms.get_forces()
    atoms.calc = clone(atoms.calc)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=case.tolerances.repetition)


def test_results_belong_to_the_caller(atoms: Atoms) -> None:
    forces = atoms.get_forces()
    kept, raw = forces.copy(), atoms.calc.results["forces"]
    forces[:] = 0.0
    np.testing.assert_array_equal(atoms.get_forces(), kept)
    like(atoms, positions=atoms.positions * 1.01).get_forces()
    np.testing.assert_array_equal(raw, kept)


def test_structure_is_left_alone(atoms: Atoms) -> None:
    before = atoms.copy()
    atoms.get_stress()
    atoms.get_forces()
    assert atoms == before
    assert set(atoms.arrays) == set(before.arrays)
    assert atoms.info == before.info


def test_results_are_float64_of_the_right_shape(atoms: Atoms) -> None:
    atoms.get_stress()
    results = atoms.calc.results
    assert isinstance(results["energy"], float)
    assert results["free_energy"] == results["energy"]
    for key, shape in {"energies": (len(atoms),), "forces": (len(atoms), 3), "stress": (6,)}.items():
        if key in atoms.calc.implemented_properties:
            assert results[key].shape == shape
            assert results[key].dtype == np.float64
            assert np.isfinite(results[key]).all()
    if "energies" in results:
        assert results["energies"].sum() == pytest.approx(results["energy"], rel=1e-12)


def test_free_energy_is_implemented(atoms: Atoms) -> None:
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_nothing_is_printed(case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    atoms = case.structure()
    atoms.calc = case.make()
    atoms.get_forces()
    assert capfd.readouterr() == ("", "")


def test_properties_do_not_grow_with_instances(case: Case) -> None:
    first, second = case.make(), case.make()
    assert first.implemented_properties == second.implemented_properties
    assert len(set(first.implemented_properties)) == len(first.implemented_properties)


def test_molecule_has_forces_and_no_stress(name: str) -> None:
    atoms = molecule("CH3OH")
    atoms.calc = calculator(name)
    assert atoms.get_forces().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-8)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_unknown_element_is_named(atoms: Atoms, case: Case) -> None:
    atoms.symbols[1] = case.unknown_element
    with pytest.raises(UnsupportedElementError, match=rf"{case.unknown_element} \(atom 1\)"):
        atoms.get_potential_energy()


@pytest.mark.parametrize("attribute", ["positions", "cell"])
def test_numbers_that_are_not_finite_are_refused(atoms: Atoms, attribute: str) -> None:
    getattr(atoms, attribute)[0, 1] = np.nan
    with pytest.raises(StructureError, match="not finite"):
        atoms.get_potential_energy()


def test_no_atoms_are_refused(name: str) -> None:
    atoms = Atoms(cell=np.eye(3), pbc=True)
    atoms.calc = calculator(name)
    with pytest.raises(StructureError, match="no atoms"):
        atoms.get_potential_energy()


def test_description_is_plain_and_complete(name: str) -> None:
    description = calculator(name).describe()
    assert set(description) >= DESCRIPTION_KEYS
    assert json.loads(json.dumps(description))["name"] == description["name"]
    assert description["elements"]
    assert 0.0 < description["force_noise"] <= 1e-5


def test_linear_response_is_the_derivative_of_the_forces_in_the_crystal(atoms: Atoms, case: Case) -> None:
    calculator = atoms.calc
    if not (isinstance(calculator, SupportsLinearResponse) and calculator.has_linear_response):
        pytest.skip("has no linear response")
    directions = np.array([[1.0, 0.0, 0.0], [0.3, -0.5, 0.8]])
    atom, cell, response = calculator.atom_response(atoms, 1, directions)
    assert atom.shape == (response.shape[1],)
    assert cell.shape == (response.shape[1], 3)
    assert np.abs(response.sum(axis=1)).max() < 1e-11 * np.abs(response).max()
    # All images of the cell moving together is a motion of the periodic structure.
    folded = np.zeros((len(directions), len(atoms), 3))
    np.add.at(folded, (slice(None), atom), response)

    def forces(step: float, direction: np.ndarray) -> np.ndarray:
        moved = like(atoms, positions=atoms.positions)
        moved.positions[1] += step * direction
        return moved.get_forces()

    for direction, own in zip(directions, folded, strict=True):
        h = 1e-3
        differences = (
            8 * (forces(h, direction) - forces(-h, direction)) - (forces(2 * h, direction) - forces(-2 * h, direction))
        ) / (12 * h)
        np.testing.assert_allclose(own, differences, rtol=0, atol=case.tolerances.response * np.abs(own).max())


def test_a_batch_is_what_single_structures_are(atoms: Atoms, case: Case) -> None:
    if not isinstance(atoms.calc, SupportsBatch):
        pytest.skip("takes no batches")
    other = like(atoms, positions=atoms.positions + np.random.default_rng(4).normal(scale=0.03, size=(len(atoms), 3)))
    frames = [atoms, other * (1, 2, 1), other]
    for frame, found in zip(frames, atoms.calc.calculate_batch(frames), strict=True):
        alone = like(frame)
        alone.calc = atoms.calc
        np.testing.assert_allclose(found["energy"], alone.get_potential_energy(), rtol=1e-10)
        np.testing.assert_allclose(found["forces"], alone.get_forces(), atol=1e-9)
        np.testing.assert_allclose(found["stress"], alone.get_stress(), atol=1e-10)

"""Linear response of D3(BJ) against torch-dftd, and its part in the sum with MACE."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list
from numpy.testing import assert_allclose
from tiny_models import FOUNDATION

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.dispersion import calculator as dispersion
from mace_mof_calc.dispersion.calculator import D3, DispersionCorrected
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy

pytest.importorskip("torch_dftd", reason="torch-dftd is not installed")

STEP = 2e-4


def wurtzite() -> Atoms:
    return bulk("ZnO", "wurtzite", a=3.25, c=5.2)


def rattled() -> Atoms:
    atoms = wurtzite()
    atoms.rattle(0.1, seed=1)
    return atoms


def skewed() -> Atoms:
    """Four elements; one atom lies outside its cell."""
    atoms = Atoms("CO2HN", positions=[[0, 0, 0], [1.2, 0.1, 0], [-1.1, 0.3, 0.2], [0.2, 1.0, 0.4], [2, 9, 3]], pbc=True)
    atoms.set_cell([[3.5, 0, 0], [2.9, 2.6, 0], [-1.2, 2.0, 4.1]])
    return atoms


STRUCTURES = {
    "rattled": rattled(),
    "skewed": skewed(),
    "one atom": bulk("Al", a=4.05),
    "slab": Atoms("OZn", positions=[[0, 0, 0], [0.2, 0.1, 1.9]], cell=[3, 3.2, 20], pbc=(True, True, False)),
    "molecule": molecule("CH3OH"),
    "no neighbours": Atoms("H", cell=[20, 20, 20], pbc=True),
}


def make_d3(atoms: Atoms, cutoff: float = 8.0, coordination_cutoff: float = 5.0) -> D3:
    """Make a D3 whose cutoffs no pair crosses in small displacements."""
    return D3(cutoff=between(atoms, cutoff), coordination_cutoff=between(atoms, coordination_cutoff), device="cpu")


def between(atoms: Atoms, radius: float) -> float:
    """Return the middle of the widest gap between distances near a radius."""
    distance = neighbor_list("d", atoms, radius + 0.3)
    bounds = np.sort([radius - 0.3, *distance[distance > radius - 0.3], radius + 0.3])
    widest = np.argmax(np.diff(bounds))
    assert bounds[widest + 1] - bounds[widest] > 50 * STEP
    return float(bounds[widest : widest + 2].mean())


def differences(calculator: Calculator, atoms: Atoms, displacement: np.ndarray) -> np.ndarray:
    """Derivative of the forces along a displacement, by differences of fourth order."""

    def forces(factor: float) -> np.ndarray:
        moved = atoms.copy()
        moved.positions += factor * STEP * displacement
        return calculator.get_property("forces", moved)

    return (8 * (forces(1) - forces(-1)) - (forces(2) - forces(-2))) / (12 * STEP)


def fold(response: tuple[np.ndarray, ...], count: int, repeat: tuple[int, int, int]) -> np.ndarray:
    """Add up the response on the atoms of a supercell as ASE repeats it."""
    atom, cell, values = response
    images = np.ravel_multi_index(tuple((cell % repeat).T), repeat)
    folded = np.zeros((len(values), count * int(np.prod(repeat)), 3))
    np.add.at(folded, (slice(None), images * count + atom), values)
    return folded


def assert_equal_to(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    assert_allclose(found, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-3))


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("cutoffs", [(8.0, 5.0), (5.0, 5.0), (30.0, 21.0)])
def test_the_energy_is_torch_dftds(name: str, cutoffs: tuple[float, float]) -> None:
    d3, atoms = D3(cutoff=cutoffs[0], coordination_cutoff=cutoffs[1]), STRUCTURES[name]
    assert d3._state(atoms).energy == pytest.approx(d3.get_potential_energy(atoms), rel=1e-12)


def test_the_energy_is_torch_dftds_for_a_framework_at_the_cutoff_of_mace() -> None:
    d3, atoms = D3(cutoff=dispersion.COORDINATION_CUTOFF), structures.load("MOF-5")
    assert d3._state(atoms).energy == pytest.approx(d3.get_potential_energy(atoms), rel=1e-12)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_response_is_the_derivative_of_the_forces(name: str) -> None:
    atoms = STRUCTURES[name]
    d3, displacement = make_d3(atoms), np.random.default_rng(5).standard_normal((len(atoms), 3))
    (response,) = d3.force_response(atoms, displacement[None])
    assert_equal_to(response, differences(d3, atoms, displacement), 1e-8)


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list")
@pytest.mark.parametrize("name", ["rattled", "skewed"])
def test_the_response_is_the_hessian_of_torch_dftds_energy(name: str) -> None:
    atoms = STRUCTURES[name] * (2, 1, 1)
    d3, size = make_d3(atoms), 3 * len(atoms)
    module, inputs = d3._d3.dftd_module, d3._d3._preprocess_atoms(atoms)

    def energy(positions: torch.Tensor) -> torch.Tensor:
        return module.calc_energy_batch(**{**inputs, "pos": positions}, damping="bj").sum()

    hessian = torch.autograd.functional.hessian(energy, inputs["pos"]).reshape(size, size).numpy()
    response = d3.force_response(atoms, np.eye(size).reshape(size, -1, 3)).reshape(size, size)
    # Of the two, torch's loses more digits of the derivatives of C6.
    assert_equal_to(-response, hessian, 1e-11)
    assert_equal_to(response, response.T)


@pytest.mark.parametrize("name", [name for name in STRUCTURES if name != "no neighbours"])
def test_the_infinite_crystal_folds_onto_any_supercell(name: str) -> None:
    atoms = STRUCTURES[name]
    d3, index = make_d3(atoms), len(atoms) - 1
    found = d3.atom_response(atoms, index, np.eye(3))
    assert np.abs(found[2].sum(axis=1)).max() < 1e-14 * np.abs(found[2]).max()
    for repeat in ((1, 1, 1), (2, 1, 3)) if atoms.pbc.all() else ((1, 1, 1),):
        supercell = atoms * repeat
        displacements = np.zeros((3, len(supercell), 3))
        displacements[:, index] = np.eye(3)
        folded = fold(found, len(atoms), repeat)
        assert_equal_to(folded, d3.force_response(supercell, displacements))
        assert_equal_to(folded[0], differences(d3, supercell, displacements[0]), 1e-8)


def test_force_constants_between_two_atoms_are_the_same_both_ways() -> None:
    atoms, constants = skewed(), {}
    d3 = make_d3(atoms, 5.0, 3.5)
    for index in range(len(atoms)):
        nodes, cells, response = d3.atom_response(atoms, index, np.eye(3))
        for atom, cell, block in zip(nodes, cells, response.swapaxes(0, 1), strict=True):
            constants[(index, int(atom), *cell.tolist())] = block
    largest = max(np.abs(block).max() for block in constants.values())
    for (i, j, x, y, z), block in constants.items():
        assert_allclose(block, constants[(j, i, -x, -y, -z)].T, rtol=0, atol=1e-13 * largest)


def test_it_reaches_beyond_the_cutoff() -> None:
    atoms = skewed()
    d3 = make_d3(atoms)
    atom, cell, _ = d3.atom_response(atoms, 0, np.eye(3))
    distance = np.linalg.norm(atoms.positions[atom] + cell @ atoms.cell.array - atoms.positions[0], axis=1)
    assert d3.cutoff + 1.5 * d3.coordination_cutoff < distance.max() < d3.cutoff + 2 * d3.coordination_cutoff


def test_what_belongs_to_the_structure_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, evaluate = [], dispersion.evaluate
    monkeypatch.setattr(dispersion, "evaluate", lambda *args: calls.append(args) or evaluate(*args))
    atoms, d3 = rattled(), D3(cutoff=8.0, coordination_cutoff=5.0)
    for index in range(len(atoms)):
        d3.atom_response(atoms.copy(), index, np.eye(3))
    assert len(calls) == 1
    moved, strained, swapped, opened = (atoms.copy() for _ in range(4))
    moved.positions[0] += 0.01
    strained.set_cell(atoms.cell.array * 1.001)
    swapped.numbers[:] = atoms.numbers[::-1]
    opened.pbc[2] = False
    for changed in (moved, strained, swapped, opened, atoms):
        found, fresh = (d.atom_response(changed, 0, np.eye(3)) for d in (d3, D3(cutoff=8.0, coordination_cutoff=5.0)))
        for one, other in zip(found, fresh, strict=True):
            assert np.array_equal(one, other)


def test_an_atom_that_is_not_there_is_refused() -> None:
    for index in (-1, 4):
        with pytest.raises(ValueError, match=f"Atom {index} was to move"):
            D3(cutoff=8.0, coordination_cutoff=5.0).atom_response(rattled(), index, np.eye(3))


def make_sum(atoms: Atoms) -> DispersionCorrected:
    return DispersionCorrected(MaceMOF(FOUNDATION, device="cpu"), cutoff=between(atoms, 6.0))


def test_the_part_of_d3_is_in_the_sum() -> None:
    atoms = rattled()
    total = make_sum(atoms)
    parts = [fold(term.atom_response(atoms, 1, np.eye(3)), 4, (1, 1, 1)) for term in (total, total.mace, total.d3)]
    assert_equal_to(parts[0] - parts[1], parts[2], 1e-10)
    assert np.abs(parts[2]).max() > 1e-3
    displacement = np.zeros((4, 3))
    displacement[1, 0] = 1.0
    scale = np.abs(parts[0]).max()
    assert_allclose(parts[0][0], differences(total, atoms, displacement), rtol=0, atol=1e-8 * scale)


def test_the_periodic_response_of_the_sum_is_the_sum() -> None:
    atoms = rattled()
    total, displacement = make_sum(atoms), np.random.default_rng(5).standard_normal((4, 3))
    (response,) = total.force_response(atoms, displacement[None])
    assert_equal_to(response, differences(total, atoms, displacement), 1e-8)


def test_the_sum_has_a_response_where_mace_has_one() -> None:
    for accelerate in (True, False):
        total = DispersionCorrected(MaceMOF(FOUNDATION, device="cpu", accelerate=accelerate))
        assert total.has_linear_response is accelerate
    with pytest.raises(TypeError, match="needs acceleration"):
        total.atom_response(rattled(), 0, np.eye(3))


def test_force_constants_of_the_sum_are_those_of_displacements() -> None:
    atoms = wurtzite()
    supercell, total = np.diag([2, 2, 1]), make_sum(wurtzite())
    exact, found, bare = (
        compute_force_constants(make_phonopy(atoms, supercell), calculator, distance=distance, method=method)
        for calculator, distance, method in (
            (total, None, "linear-response"),
            (total, 1e-3, "finite-displacement"),
            (total.mace, None, "linear-response"),
        )
    )
    scale = np.abs(exact.force_constants).max()
    assert_allclose(exact.force_constants, found.force_constants, rtol=0, atol=1e-4 * scale)
    assert np.abs(exact.force_constants - bare.force_constants).max() > 1e-3 * scale

"""What a crystal has does not depend on how it is written: basis, order, origin, orientation, images of its atoms."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from ase.build import bulk, make_supercell, niggli_reduce
from ase.calculators.emt import EMT
from ase.stress import voigt_6_to_full_3x3_stress
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tiny_models import FOUNDATION

from mace_mof_calc import MaceMOF
from mace_mof_calc.dispersion.calculator import D3
from phonopy_mlp.elasticity import elastic_from_phonons, run_elasticity
from phonopy_mlp.elasticity.tensor import rotate
from phonopy_mlp.eos import run_eos
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.phonons import compute_phonons
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.relax import relax
from phonopy_mlp.stability.stabilise import stabilise
from phonopy_mlp.structures import loose_molecules, structure_digest
from phonopy_mlp.supercell import auto_supercell, shortest_image_distance
from phonopy_mlp.symmetry import LOOSE, TIGHT, find_space_group, symmetrise

from .crystals import EMT_METALS, PROTOTYPES, crystals, fewer, floats, rewritings, rotations, unimodular

CALCULATORS = {
    "mini": lambda: MaceMOF("mini", device="cpu"),
    "mini, PyTorch": lambda: MaceMOF("mini", device="cpu", accelerate="pytorch"),
    "random weights": lambda: MaceMOF(FOUNDATION, device="cpu", trust=True),
    "random weights, mace": lambda: MaceMOF(FOUNDATION, device="cpu", trust=True, accelerate=False),
    "D3": lambda: D3(cutoff=8.0, coordination_cutoff=6.0, device="cpu"),
}

ELEMENTS = ("H", "C", "O", "Zn")
"""That all of them know."""


@cache
def make(name):
    return CALCULATORS[name]()


def compute(name, atoms):
    atoms = atoms.copy()
    atoms.calc = make(name)
    return atoms.get_potential_energy(), atoms.get_forces(), voigt_6_to_full_3x3_stress(atoms.get_stress())


def assert_same(found, expected, size=1):
    """Compare energies, forces and stresses; rounding grows with the largest forces, of atoms too close."""
    scale = max(1.0, np.abs(expected[1]).max())
    for own, other, factor in zip(found, expected, (size, 1, 1), strict=True):
        assert_allclose(own, factor * np.asarray(other), rtol=1e-9, atol=1e-9 * scale * size)


@pytest.mark.parametrize("name", CALCULATORS)
@fewer(2)
@given(data=st.data())
def test_energy_forces_and_stress_go_with_the_crystal(name, data, tally):
    atoms = data.draw(crystals(ELEMENTS))
    way = data.draw(rewritings(atoms, mirrored=True))
    tally("invariance", f"energies of {name}")
    energy, forces, stress = compute(name, atoms)
    assert_same(compute(name, way(atoms)), (energy, way.vectors(forces), way.tensor(stress)))


@pytest.mark.parametrize("name", ["mini", "random weights", "D3"])
@fewer(2)
@given(data=st.data())
def test_a_supercell_has_as_much_of_everything(name, data, tally):
    atoms = data.draw(crystals(ELEMENTS, most=3))
    matrix = data.draw(unimodular()) @ np.diag(data.draw(st.sampled_from([(2, 1, 1), (1, 1, 3), (1, 2, 2)])))
    tally("invariance", f"supercells of {name}")
    atoms.set_tags(range(len(atoms)))
    energy, forces, stress = compute(name, atoms)
    large = make_supercell(atoms, matrix)
    size = len(large) // len(atoms)
    assert_same(compute(name, large), (energy, forces[large.get_tags()], stress), size)


@given(data=st.data())
def test_the_reduced_cell_has_the_same_energy_and_forces(data, tally):
    atoms = data.draw(crystals(ELEMENTS))
    way = data.draw(rewritings(atoms, most=3))
    tally("invariance", "reduced cells of mini")
    skewed = way(atoms)
    reduced = skewed.copy()
    niggli_reduce(reduced)
    energy, forces, _ = compute("mini", skewed)
    # ASE turns the reduced crystal.
    found = compute("mini", reduced)
    assert found[0] == pytest.approx(energy, rel=1e-9)
    assert_allclose(np.linalg.norm(found[1], axis=1), np.linalg.norm(forces, axis=1), rtol=1e-8, atol=1e-8)


@fewer(2)
@given(data=st.data())
def test_a_batch_gives_what_each_gives_alone(data, tally):
    structures = [data.draw(crystals(ELEMENTS)) for _ in range(data.draw(st.integers(1, 4)))]
    structures.append(data.draw(rewritings(structures[0]))(structures[0]))
    tally("invariance", "batches of mini")
    for atoms, found in zip(structures, make("mini").calculate_batch(structures), strict=True):
        energy, forces, stress = compute("mini", atoms)
        assert_same(
            (found["energy"], found["forces"], voigt_6_to_full_3x3_stress(found["stress"])), (energy, forces, stress)
        )


@pytest.mark.parametrize("name", ["mini", "random weights"])
@fewer(3)
@given(data=st.data())
def test_derivatives_of_forces_go_with_the_crystal(name, data, tally):
    atoms = data.draw(crystals(ELEMENTS, most=3))
    way = data.draw(rewritings(atoms, mirrored=True))
    tally("invariance", f"linear response of {name}")
    moves = np.array(data.draw(st.lists(floats(-1, 1), min_size=3 * len(atoms), max_size=3 * len(atoms))))
    moves = moves.reshape(1, -1, 3)
    calculator, other = make(name), way(atoms)
    expected = way.vectors(calculator.force_response(atoms, moves))
    found = calculator.force_response(other, way.vectors(moves))
    scale = max(1.0, np.abs(expected).max())
    assert_allclose(found, expected, atol=1e-8 * scale)
    # One atom in the crystal without end, its images staying: summed over cells, all images moving.
    index = data.draw(st.integers(0, len(atoms) - 1))
    atom, _, response = calculator.atom_response(other, index, np.eye(3))
    summed = np.zeros((3, len(atoms), 3))
    for k in range(3):
        np.add.at(summed[k], atom, response[k])
    unit = np.zeros((3, len(atoms), 3))
    unit[range(3), index, range(3)] = 1
    assert_allclose(summed, calculator.force_response(other, unit), atol=1e-8 * scale)


@fewer(2)
@given(data=st.data())
def test_what_is_outside_of_the_training_stays_so(data, tally):
    atoms = data.draw(crystals(("H", "C", "O", "Zn", "Cu")))
    way = data.draw(rewritings(atoms))
    tally("invariance", "domain of mini")

    def find(atoms, place):
        found = make("mini").check_domain(atoms)
        return sorted((each["kind"], sorted(place[k] for k in each["atoms"])) for each in found)

    assert find(way(atoms), way.order) == find(atoms, range(len(atoms)))


def matrix_of_the_same_lattice(matrix, basis):
    """Return phonopy's supercell matrix, whose columns are the vectors, in another basis of the unit cell."""
    other = np.rint(np.linalg.inv(basis).T @ matrix).astype(int)
    return other if np.linalg.det(other) > 0 else -other


def spectrum(atoms, matrix, calculator, **settings):
    """Return squared frequencies at all commensurate points, of one primitive cell, ascending."""
    phonon = compute_force_constants(make_phonopy(atoms, matrix), calculator, **settings).phonon
    frequencies = compute_commensurate_modes(phonon).frequencies
    return np.sort((np.sign(frequencies) * frequencies**2)[np.isfinite(frequencies)])


SUPERCELLS = [np.diag([2, 2, 2]), np.diag([2, 1, 3]), np.array([[1, 1, 0], [-1, 2, 0], [0, 1, 2]])]


@given(data=st.data())
def test_phonons_by_displacements_are_those_of_the_crystal(data, tally):
    atoms = data.draw(st.sampled_from(list(PROTOTYPES.values())) | crystals(EMT_METALS, most=3, edge=(4.0, 5.0)))
    matrix = data.draw(st.sampled_from(SUPERCELLS[:2] if len(atoms) > 2 else SUPERCELLS))
    way = data.draw(rewritings(atoms, most=1))
    tally("invariance", "phonons by displacements")
    expected = spectrum(atoms, matrix, EMT(), is_plusminus=True)
    found = spectrum(way(atoms), matrix_of_the_same_lattice(matrix, way.basis), EMT(), is_plusminus=True)
    # Displacements go along other directions, and are long enough for terms of fourth order.
    assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@fewer(5)
@given(data=st.data())
def test_phonons_by_linear_response_are_those_of_the_crystal(data, tally):
    atoms = data.draw(crystals(ELEMENTS, most=2, edge=(3.0, 5.0)))
    matrix = data.draw(st.sampled_from(SUPERCELLS))
    way = data.draw(rewritings(atoms, most=1))
    tally("invariance", "phonons by linear response")
    expected = spectrum(atoms, matrix, make("mini"))
    found = spectrum(way(atoms), matrix_of_the_same_lattice(matrix, way.basis), make("mini"))
    assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())


@fewer(3)
@given(data=st.data())
def test_thermal_properties_are_those_of_a_primitive_cell_whatever_cell_is_given(data, tally):
    name = data.draw(st.sampled_from(sorted(PROTOTYPES)))
    atoms = PROTOTYPES[name]
    way = data.draw(rewritings(atoms, most=1))
    tally("invariance", "thermal properties")

    def thermal(atoms, matrix):
        phonon = compute_force_constants(make_phonopy(atoms, matrix), EMT(), is_plusminus=True).phonon
        # One number is a length, and gives the same mesh of every cell.
        found = compute_phonons(phonon, mesh=20.0, temperatures=[0, 100, 300], pitch=0.5, band_points=2)
        return np.array([found.free_energy, found.entropy, found.heat_capacity]), found.weights.sum()

    matrix = np.diag([2, 2, 2])
    expected, points = thermal(atoms, matrix)
    found, others = thermal(way(atoms), matrix_of_the_same_lattice(matrix, way.basis))
    assert others == points
    assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def near(atoms, seed, size):
    other = atoms.copy()
    other.rattle(size, seed=seed)
    return other


@given(data=st.data())
def test_the_space_group_is_that_of_the_crystal(data, tally):
    atoms = data.draw(st.sampled_from(list(PROTOTYPES.values())))
    atoms = near(
        atoms.repeat(data.draw(st.sampled_from([(1, 1, 1), (2, 1, 1)]))), 1, data.draw(st.sampled_from([0, 1e-3]))
    )
    way = data.draw(rewritings(atoms, most=3, mirrored=True))
    tally("invariance", "space groups")
    for tolerance in (TIGHT, LOOSE):
        assert find_space_group(way(atoms), tolerance) == find_space_group(atoms, tolerance)


@given(data=st.data())
def test_symmetrising_goes_with_the_crystal(data, tally):
    atoms = data.draw(st.sampled_from(list(PROTOTYPES.values())))
    atoms = near(atoms, data.draw(st.integers(0, 99)), 1e-3)
    way = data.draw(rewritings(atoms, most=2, mirrored=True))
    tally("invariance", "symmetrising")
    found, expected = symmetrise(way(atoms), LOOSE), way(symmetrise(atoms, LOOSE))
    assert find_space_group(found, TIGHT).number == find_space_group(atoms, LOOSE).number
    assert_allclose(found.cell.lengths(), expected.cell.lengths(), rtol=1e-6)
    assert_allclose(found.get_all_distances(mic=True), expected.get_all_distances(mic=True), atol=1e-5)
    moved = found.positions - way(atoms).positions
    assert np.abs(moved - moved.mean(axis=0)).max() < 2 * LOOSE


@given(data=st.data())
def test_the_shortest_image_is_that_of_the_lattice(data, tally):
    atoms = data.draw(crystals(most=1))
    way = data.draw(rewritings(atoms, most=3))
    tally("invariance", "image distances")
    cell = atoms.cell.array
    shortest = shortest_image_distance(cell)
    assert shortest_image_distance(way(atoms).cell.array) == pytest.approx(shortest, rel=1e-9)
    # The cells drawn are so little skewed that four steps along each vector reach all of these.
    lattice = np.array([n for n in product(range(-4, 5), repeat=3) if any(n)]) @ cell
    assert shortest == pytest.approx(np.linalg.norm(lattice, axis=1).min(), rel=1e-9)


@given(data=st.data())
def test_the_automatic_supercell_is_the_smallest_that_reaches(data, tally):
    atoms = data.draw(crystals(most=1, edge=(3.0, 6.0)))
    basis = data.draw(unimodular(most=1))
    atoms.set_cell(basis @ atoms.cell.array)
    length = data.draw(floats(4.0, 9.0))
    tally("invariance", "automatic supercells")
    chosen = auto_supercell(atoms, length)
    cell = atoms.cell.array
    assert shortest_image_distance(chosen @ cell) > length
    size = round(np.linalg.det(chosen))
    smaller = [n for n in product(range(1, size), repeat=3) if np.prod(n) < size]
    assert all(shortest_image_distance(np.diag(n) @ cell) <= length for n in smaller)
    order = np.roll(np.eye(3, dtype=int), data.draw(st.integers(0, 2)), axis=0)
    atoms.set_cell(order @ cell @ data.draw(rotations()))
    assert round(np.linalg.det(auto_supercell(atoms, length))) == size


@fewer(3)
@given(data=st.data())
def test_a_relaxation_ends_in_the_same_minimum(data, tally):
    atoms = data.draw(st.sampled_from(list(PROTOTYPES.values())))
    start = near(atoms, data.draw(st.integers(0, 99)), 0.02)
    start.set_cell(start.cell.array * data.draw(floats(0.98, 1.02)), scale_atoms=True)
    way = data.draw(rewritings(start, most=1, mirrored=True))
    tally("invariance", "relaxations")
    found, expected = relax(way(start), EMT(), fmax=1e-3), relax(start, EMT(), fmax=1e-3)
    # What is left of the force, 1e-3 eV/A, costs no more than its square over a force constant of 1 eV/A^2.
    assert found.energy == pytest.approx(expected.energy, abs=1e-5)
    assert found.atoms.get_volume() == pytest.approx(expected.atoms.get_volume(), rel=2e-3)
    assert found.energy_change == pytest.approx(expected.energy_change, abs=1e-5)


@cache
def relaxed(name):
    return relax(PROTOTYPES[name], EMT(), fmax=1e-5).atoms


@fewer(5)
@given(data=st.data())
def test_the_bulk_modulus_is_that_of_the_crystal(data, tally):
    atoms = relaxed(data.draw(st.sampled_from(sorted(PROTOTYPES))))
    large = atoms.repeat(data.draw(st.sampled_from([(1, 1, 1), (1, 1, 2)])))
    way = data.draw(rewritings(large, most=1, mirrored=True))
    tally("invariance", "equations of state")
    expected, found = (run_eos(each, EMT(), fmax=1e-4) for each in (atoms, way(large)))
    assert_allclose(found.primitive_volumes, expected.primitive_volumes, rtol=1e-9)
    assert found.primitive_fit.volume == pytest.approx(expected.primitive_fit.volume, rel=1e-4)
    assert found.primitive_fit.bulk_modulus == pytest.approx(expected.primitive_fit.bulk_modulus, rel=2e-3)
    assert found.shape_relaxed == expected.shape_relaxed


@fewer(10)
@given(data=st.data())
def test_thermal_expansion_is_that_of_the_crystal(data, tally):
    atoms = relaxed("fcc")
    way = data.draw(rewritings(atoms, most=1))
    tally("invariance", "thermal expansion")
    matrix, settings = np.diag([2, 2, 2]), {"temperatures": range(0, 250, 50), "mesh": (9, 9, 9), "volumes": 5}
    expected = run_mlp_qha(atoms, EMT(), supercell_matrix=matrix, **settings)
    found = run_mlp_qha(way(atoms), EMT(), supercell_matrix=matrix_of_the_same_lattice(matrix, way.basis), **settings)
    assert_allclose(found.volume, expected.volume, rtol=1e-5)
    assert_allclose(found.volumetric_expansion, expected.volumetric_expansion, rtol=1e-2, atol=1e-7)
    assert_allclose(found.bulk_modulus, expected.bulk_modulus, rtol=2e-3)


@fewer(10)
@given(data=st.data())
def test_stabilising_ends_in_the_same_crystal(data, tally):
    atoms = bulk("Cu", "bcc", a=2.87)
    way = data.draw(rewritings(atoms, most=1))
    tally("invariance", "stabilising")
    matrix = np.diag([2, 2, 2])
    expected = stabilise(atoms, EMT(), supercell_matrix=matrix)
    found = stabilise(way(atoms), EMT(), supercell_matrix=matrix_of_the_same_lattice(matrix, way.basis))
    assert (found.stable, expected.stable) == (True, True)
    energies = [EMT().get_potential_energy(each.atoms) / len(each.atoms) for each in (found, expected)]
    assert energies[0] == pytest.approx(energies[1], abs=1e-4)


@fewer(5)
@given(data=st.data())
def test_elastic_constants_turn_with_the_crystal(data, tally):
    atoms = relaxed(data.draw(st.sampled_from(sorted(PROTOTYPES))))
    way = data.draw(rewritings(atoms, most=1))
    tally("invariance", "elastic constants")
    expected, found = (run_elasticity(each, EMT(), fmax=1e-4) for each in (atoms, way(atoms)))
    size = np.abs(expected.stiffness).max()
    assert_allclose(found.stiffness, rotate(expected.stiffness, way.rotation.T), atol=1e-3 * size)
    assert_allclose(found.eigenvalues, expected.eigenvalues, atol=1e-3 * size)
    assert_allclose([found.hill.bulk, found.hill.shear], [expected.hill.bulk, expected.hill.shear], rtol=2e-3)
    assert (found.independent, found.born_stable) == (expected.independent, expected.born_stable)
    if expected.space_group.is_cubic:
        assert_allclose(found.standard_stiffness, expected.standard_stiffness, atol=1e-3 * size)


@fewer(5)
@given(data=st.data())
def test_elastic_constants_from_long_waves_turn_with_the_crystal(data, tally):
    atoms = relaxed(data.draw(st.sampled_from(["fcc", "L1_0", "hcp"])))
    way = data.draw(rewritings(atoms, most=1))
    tally("invariance", "elastic constants from long waves")
    matrix = np.diag([3, 3, 3])

    def waves(atoms, matrix):
        return elastic_from_phonons(
            compute_force_constants(make_phonopy(atoms, matrix), EMT(), is_plusminus=True).phonon
        )

    expected, found = waves(atoms, matrix), waves(way(atoms), matrix_of_the_same_lattice(matrix, way.basis))
    size = np.abs(expected.stiffness).max()
    assert_allclose(found.stiffness, rotate(expected.stiffness, way.rotation.T), atol=1e-3 * size)


@given(data=st.data())
def test_loose_molecules_are_those_of_the_crystal(data, tally):
    atoms = data.draw(crystals())
    way = data.draw(rewritings(atoms, most=3))
    tally("invariance", "loose molecules")
    assert loose_molecules(way(atoms)) == loose_molecules(atoms)


@given(data=st.data())
def test_the_digest_of_a_structure_is_that_of_what_is_in_it(data, tally):
    atoms = data.draw(crystals())
    tally("invariance", "digests")
    # Rounding to 1e-10 A is the same for neighbours of what it gives.
    atoms.positions, atoms.cell = np.round(atoms.positions, 10), np.round(atoms.cell.array, 10)
    other = atoms.copy()
    other.info["name"], other.calc = "else", EMT()
    other.positions += 1e-12
    assert structure_digest(other) == structure_digest(atoms)
    other.positions[0, 0] += 1e-9
    assert structure_digest(other) != structure_digest(atoms)

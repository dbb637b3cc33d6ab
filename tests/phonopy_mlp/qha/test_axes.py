"""Expansion of the axes: free energy over the lattice, Grueneisen tensor, and direct minimisation agree."""

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa
from lattices import ScalingSprings, compliances, monoclinic, tetragonal
from numpy.testing import assert_allclose
from scipy import optimize

from phonopy_mlp.errors import CalculatorError, ConvergenceError, ImaginaryModesError, SettingsError
from phonopy_mlp.plot import plot_expansion
from phonopy_mlp.qha.axes import run_axial_qha
from phonopy_mlp.qha.crystal import conventional_lattice, find_invariant_strains, make_crystal
from phonopy_mlp.qha.output import write_axial_qha
from phonopy_mlp.qha.plot import plot_axial_qha
from phonopy_mlp.qha.point import Workshop, compute_point
from phonopy_mlp.qha.tensor import compute_expansion_tensor
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.unfinished import Unfinished

SMALL = {"supercell_matrix": np.diag([3, 3, 3]), "mesh": (3, 3, 3)}
STRAINS = [-0.004, -0.002, 0, 0.002, 0.004, 0.006]


class Surface:
    """Free energy of a crystal over strains, interpolated to third order, to be minimised directly."""

    def __init__(self, atoms, calculator, temperatures):
        crystal = make_crystal(atoms, SMALL["supercell_matrix"], symprec=1e-5)
        self.lattice, self.strains = atoms.cell.array, find_invariant_strains(crystal)
        workshop = Workshop(calculator, 1e-6, SMALL["mesh"], np.array(temperatures), None)
        count = len(self.strains)
        amounts = np.random.default_rng(0).uniform(-0.004, 0.006, (4 * count**2 + 8, count))
        points = []
        for amount in amounts:
            start = atoms.copy()
            start.set_cell(self.cell(amount), scale_atoms=True)
            points.append(compute_point(workshop, crystal.moved_to(start), "fixed", ""))
        powers = np.stack(np.meshgrid(*[range(4)] * count, indexing="ij"), axis=-1).reshape(-1, count)
        self.powers = powers[powers.sum(axis=1) <= 3]
        values = np.array([point.energy + point.thermal.free_energy for point in points])
        self.coefficients = np.linalg.lstsq(self.monomials(amounts), values, rcond=None)[0].T

    def monomials(self, x):
        return np.prod((np.atleast_2d(x) / 0.005)[:, None, :] ** self.powers, axis=2)

    def cell(self, amount):
        return self.lattice @ (np.eye(3) + np.einsum("k,kab->ab", amount, self.strains))

    def minimum(self, k):
        """Return the best cell at the k-th temperature and the compliances there, in 1/GPa."""
        best, h, units = np.zeros(len(self.strains)), 1e-5, np.eye(len(self.strains))

        def at(*moves):
            return (self.monomials(best + h * sum(moves)) @ self.coefficients[k])[0]

        for _ in range(10):  # Newton's method
            gradient = np.array([at(x) - at(-x) for x in units]) / (2 * h)
            hessian = np.array([[at(x, y) - at(x, -y) - at(-x, y) + at(-x, -y) for y in units] for x in units])
            best = best - np.linalg.solve(hessian / (4 * h**2), gradient)
        cell = self.cell(best)
        stiffness = hessian / (4 * h**2) / np.linalg.det(cell) / GPa
        # Along the strains of this surface; what else there is does not matter, as no thermal stress acts on it.
        rest = np.linalg.svd(as_vectors(self.strains))[2][len(self.strains) :]
        engineering = np.vstack([as_vectors(self.strains), rest]) * ([1] * 3 + [np.sqrt(2)] * 3)
        inner = np.eye(6)
        inner[: len(stiffness), : len(stiffness)] = np.linalg.inv(stiffness)
        return cell, engineering.T @ inner @ engineering


def as_vectors(strains):
    """Return symmetric matrices as vectors with the same scalar product."""
    return np.array([[*np.diag(s), *(np.sqrt(2) * s[[1, 0, 0], [2, 2, 1]])] for s in strains])


@pytest.fixture(scope="module")
def surface():
    return Surface(*tetragonal(), [0, 90, 100, 110])


@pytest.fixture(scope="module")
def axial():
    atoms, calculator = tetragonal()
    return run_axial_qha(atoms, calculator, temperatures=np.arange(0, 130, 10), strains=STRAINS, **SMALL)


def test_lattice_lengths_are_those_of_direct_minimisation(axial, surface):
    for number, temperature in ((0, 0), (2, 100)):
        cell, _ = surface.minimum(number)
        k = int(np.flatnonzero(axial.temperatures == temperature)[0])
        assert_allclose(axial.lengths[k], np.diag(cell), rtol=3e-6)


def test_axial_coefficients_add_up_to_the_volumetric(axial):
    assert_allclose(axial.axial_expansion.sum(axis=1), axial.volumetric_expansion, rtol=1e-4, atol=1e-10)
    assert_allclose(axial.axial_expansion[:, 0], axial.axial_expansion[:, 1])
    assert_allclose(axial.volume, axial.lengths.prod(axis=1), rtol=1e-8)


def test_tensor_method_agrees_with_both(axial, surface):
    atoms, calculator = tetragonal()
    cell, isothermal = surface.minimum(2)
    atoms.set_cell(cell, scale_atoms=True)
    found = compute_expansion_tensor(atoms, calculator, compliances=isothermal, temperatures=[0, 100], **SMALL)
    k = int(np.flatnonzero(axial.temperatures == 100)[0])
    direct = np.log(np.diag(surface.minimum(3)[0]) / np.diag(surface.minimum(1)[0])) / 20
    assert len(found.strains) == 2
    assert_allclose(found.axial_expansion[1], direct, rtol=0.01, atol=1e-8)
    assert_allclose(axial.axial_expansion[k], direct, rtol=0.01, atol=1e-8)
    assert_allclose(found.axial_expansion[0], 0)
    assert_allclose(found.axial_expansion.sum(axis=1), found.volumetric_expansion)
    assert_allclose(found.expansion[1] - np.diag(np.diag(found.expansion[1])), 0, atol=1e-12)
    (axes,) = plot_expansion(found, "springs", {"a": atoms.cell[0], "c": atoms.cell[2]}).axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert_allclose(drawn["along c"], 1e6 * found.axial_expansion[:, 2])
    assert_allclose(2 * drawn["along a"] + drawn["along c"], drawn["volumetric"])


def test_a_constant_volume_path_has_the_volume_right_and_the_axes_wrong(axial):
    atoms, calculator = tetragonal()
    path = run_mlp_qha(atoms, calculator, temperatures=np.arange(0, 130, 10), strain=0.006, volumes=9, **SMALL)
    assert path.linear_expansion is None
    k = int(np.flatnonzero(axial.temperatures == 100)[0])
    assert path.volumetric_expansion[k] == pytest.approx(axial.volumetric_expansion[k], rel=0.05)
    lengths = np.array([np.diag(point.atoms.cell.array) for point in path.points])
    volumes = np.array([point.volume for point in path.points])
    along = [
        np.interp(path.volume[[k - 1, k + 1]], volumes, lengths[:, axis])
        for axis in range(3)
    ]  # fmt: skip
    wrong = np.array([np.log(warmer / colder) / 20 for colder, warmer in along])
    assert_allclose(wrong.sum(), path.volumetric_expansion[k], rtol=0.01)
    assert np.abs(wrong / axial.axial_expansion[k] - 1).min() > 0.1


def test_a_monoclinic_crystal_expands_as_direct_minimisation_says():
    atoms, calculator = monoclinic()
    surface = Surface(atoms, calculator, [90, 100, 110])
    assert len(surface.strains) == 4
    (cold, _), (cell, isothermal), (hot, _) = (surface.minimum(k) for k in range(3))
    atoms.set_cell(cell, scale_atoms=True)
    found = compute_expansion_tensor(atoms, calculator, compliances=isothermal, temperatures=[100], **SMALL)
    gradient = (np.linalg.solve(cold, hot) - np.eye(3)) / 20
    direct = (gradient + gradient.T) / 2
    assert_allclose(found.expansion[0], direct, atol=0.01 * np.abs(direct).max())
    assert abs(direct[0, 2]) > 0.05 * np.abs(direct).max()


def test_mode_gruneisen_parameters_are_known_and_degenerate_modes_have_theirs():
    gamma = 2.0
    calculator = ScalingSprings(k0=2.0, v0=12.0, b0=120 * GPa, gamma=gamma)
    atoms = bulk("Cu", a=np.cbrt(48.0))
    stiffness = np.diag([120.0] * 3 + [50.0] * 3) + 10.0
    found = compute_expansion_tensor(
        atoms, calculator, compliances=np.linalg.inv(stiffness), temperatures=[300], **SMALL
    )
    # d(ln omega)/d(strain) along 1/sqrt(3): -gamma dlnV = -gamma sqrt(3).
    assert np.isnan(found.mode_gruneisen).sum() == 3
    known = np.isfinite(found.frequencies)
    assert_allclose(np.abs(found.mode_gruneisen[0][known]), gamma * np.sqrt(3), rtol=1e-4)
    assert_allclose(found.gruneisen[0], gamma * np.eye(3), atol=1e-4)
    assert found.volumetric_expansion[0] > 0


def test_internal_positions_relax_with_the_strain():
    # hcp copper has two atoms; its tensor is that of a hexagonal crystal, and the same from its doubled cell.
    atoms = bulk("Cu", "hcp", a=2.55, c=4.16)
    stiffness = np.diag([200.0] * 3 + [50.0] * 3) + 20.0
    settings = {"compliances": np.linalg.inv(stiffness), "temperatures": [300], "mesh": (3, 3, 2)}
    one = compute_expansion_tensor(atoms, EMT(), supercell_matrix=np.diag([2, 2, 2]), **settings)
    two = compute_expansion_tensor(atoms * (1, 1, 2), EMT(), supercell_matrix=np.diag([2, 2, 1]), **settings)
    assert_allclose(one.expansion, two.expansion, rtol=1e-4, atol=1e-10)
    assert one.expansion[0, 0, 0] == pytest.approx(one.expansion[0, 1, 1])
    assert one.expansion[0, 0, 0] != pytest.approx(one.expansion[0, 2, 2], rel=1e-3)


@pytest.mark.parametrize(
    ("atoms", "count"),
    [
        (bulk("Cu"), 1),
        (bulk("Cu", "hcp", a=2.5, c=4.0), 2),
        (Atoms("Cu", cell=[2, 3, 4], pbc=True), 3),
        (Atoms("Cu", cell=[[2, 0, 0], [0, 3, 0], [0.5, 0, 4]], pbc=True), 4),
        (Atoms("Cu", cell=[[2, 0, 0], [0.3, 3, 0], [0.5, 0.2, 4]], pbc=True), 6),
    ],
)
def test_strains_that_keep_the_symmetry(atoms, count):
    strains = find_invariant_strains(make_crystal(atoms, np.eye(3), symprec=1e-5))
    assert strains.shape == (count, 3, 3)
    assert_allclose(np.einsum("kab,lab->kl", strains, strains), np.eye(count), atol=1e-12)
    assert_allclose(strains, strains.transpose(0, 2, 1))


def test_conventional_lattice_is_that_of_a_centred_crystal():
    crystal = make_crystal(bulk("Cu", a=3.6), np.eye(3), symprec=1e-5)
    assert_allclose(np.linalg.norm(conventional_lattice(crystal), axis=1), 3.6)


def test_files_and_figure(axial, tmp_path):
    mpl.use("Agg")
    write_axial_qha(axial, tmp_path)
    plot_axial_qha(axial, tmp_path, suffix="png")
    written = np.loadtxt(tmp_path / "axial_thermal_expansion.dat")
    assert_allclose(written[:, 0], axial.temperatures)
    assert_allclose(written[:, 1:4], axial.axial_expansion, atol=1e-15)
    assert_allclose(np.loadtxt(tmp_path / "lattice_parameters-temperature.dat")[:, 1:], axial.lengths)
    assert (tmp_path / "anisotropic_qha.png").read_bytes().startswith(b"\x89PNG")


def test_one_free_length_of_a_cubic_crystal_is_what_volumes_give():
    calculator = ScalingSprings(k0=2.0, v0=12.0, b0=120 * GPa, gamma=2.0)
    atoms = bulk("Cu", a=np.cbrt(48.0))
    settings = {"temperatures": np.arange(0, 210, 20), "supercell_matrix": np.diag([2, 2, 2]), "mesh": (4, 4, 4)}
    lengths = run_axial_qha(atoms, calculator, strains=np.linspace(-0.012, 0.012, 7), **settings)
    volumes = run_mlp_qha(atoms, calculator, strain=0.012, **settings)
    assert_allclose(lengths.volume, volumes.volume, rtol=1e-5)
    assert_allclose(lengths.axial_expansion[-1], volumes.linear_expansion[-1], rtol=0.02)


def test_a_crystal_a_little_off_its_symmetry_is_put_onto_it():
    atoms, calculator = tetragonal()
    atoms.set_cell(atoms.cell.array * [[1 + 3e-5], [1], [1]])
    # Relaxed this loosely, it stays where it is.
    found = run_axial_qha(
        atoms, calculator, temperatures=[0, 50], strains=[-0.002, 0, 0.004, 0.006], fmax=0.1, symprec=1e-3, **SMALL
    )
    assert_allclose(found.lengths[:, 0], found.lengths[:, 1], rtol=1e-12)


def test_strains_that_do_not_hold_the_minimum():
    atoms, calculator = tetragonal()
    with pytest.raises(ConvergenceError, match=r"no minimum within the strains at 0 K.*would be.*larger strains"):
        run_axial_qha(atoms, calculator, temperatures=[0, 100, 200], strains=[-0.012, -0.01, -0.008, -0.006], **SMALL)


def test_a_minimisation_that_does_not_converge_is_told(monkeypatch, tmp_path):
    atoms, calculator = tetragonal()
    settings = {"temperatures": [0, 50], "strains": [-0.002, 0, 0.004, 0.006], "unfinished": Unfinished(tmp_path)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert run_axial_qha(atoms, calculator, **settings, **SMALL).unconverged == 0
    minimise = optimize.minimize

    def stop_early(*args, options, **kwargs):
        return minimise(*args, options=options | {"maxiter": 1}, **kwargs)

    monkeypatch.setattr(optimize, "minimize", stop_early)
    with pytest.warns(
        RuntimeWarning, match=r"did not converge at 3 temperatures \(Free energy surface.*doubtful"
    ) as told:
        assert run_axial_qha(atoms, calculator, **settings, **SMALL).unconverged == 3
    assert len(told) == 1


def test_nothing_finished_is_computed_again(tmp_path):
    atoms, calculator = tetragonal()
    settings = {"temperatures": [0, 50], "strains": [-0.002, 0, 0.004, 0.006], **SMALL}
    calls = []

    class Mortal(type(calculator)):
        life = 30

        def calculate(self, *args, **kwargs):
            calls.append(1)
            if len(calls) == self.life:
                raise RuntimeError("killed")
            super().calculate(*args, **kwargs)

    mortal = Mortal(*calculator.shells)
    whole = run_axial_qha(atoms, calculator, **settings)
    with pytest.raises(CalculatorError, match="killed"):
        run_axial_qha(atoms, mortal, unfinished=Unfinished(tmp_path), **settings)
    result = run_axial_qha(atoms, mortal, unfinished=Unfinished(tmp_path), **settings)
    assert np.array_equal(result.lengths, whole.lengths)
    done = len(calls)
    assert done < 180
    run_axial_qha(atoms, mortal, unfinished=Unfinished(tmp_path), **settings)
    assert len(calls) == done
    tensor = {"compliances": compliances(atoms, calculator), "temperatures": [100], **SMALL}
    first = compute_expansion_tensor(atoms, mortal, unfinished=Unfinished(tmp_path), **tensor)
    done = len(calls)
    again = compute_expansion_tensor(atoms, mortal, unfinished=Unfinished(tmp_path), **tensor)
    assert len(calls) == done
    assert np.array_equal(first.expansion, again.expansion)


def test_imaginary_modes_are_an_error():
    atoms, calculator = tetragonal()
    calculator.shells = (*calculator.shells[:3], (3.9, 4.35, 4.1, -0.7, 0.0))
    with pytest.raises(ImaginaryModesError, match=r"modes are imaginary with lattice vectors of 2\.5"):
        run_axial_qha(atoms, calculator, temperatures=[0, 50], strains=STRAINS, fmax=100.0, **SMALL)
    with pytest.raises(ImaginaryModesError, match="modes are imaginary"):
        compute_expansion_tensor(atoms, calculator, compliances=np.eye(6), temperatures=[100], **SMALL)


GOOD = {"temperatures": [0, 100], "compliances": np.eye(6), **SMALL}
WRONG = [
    ({"compliances": np.eye(3)}, "symmetric 6 x 6"),
    ({"compliances": np.eye(6) + np.eye(6, k=1)}, "symmetric 6 x 6"),
    ({"compliances": -np.eye(6)}, "positive definite"),
    ({"step": 0.0}, "Strain 0"),
    ({"temperatures": []}, "0 K or more"),
    ({"temperatures": [-1.0]}, "0 K or more"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_settings_that_make_no_sense(wrong, message):
    with pytest.raises(SettingsError, match=message):
        compute_expansion_tensor(bulk("Cu"), EMT(), **(GOOD | wrong))


@pytest.mark.parametrize("strains", [[0, 0.01], [0, 0.01, 0.01, 0.02], [-0.3, 0, 0.01, 0.02]])
def test_strains_that_make_no_sense(strains):
    with pytest.raises(SettingsError, match="at least 4 of them"):
        run_axial_qha(bulk("Cu"), EMT(), temperatures=[0, 100], strains=strains, **SMALL)


def test_angles_that_expand_are_an_error():
    atoms, calculator = monoclinic()
    with pytest.raises(SettingsError, match="compute_expansion_tensor"):
        run_axial_qha(atoms, calculator, temperatures=[0, 100], strains=STRAINS, **SMALL)

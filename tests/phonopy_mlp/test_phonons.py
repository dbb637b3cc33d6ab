import sys

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose
from processes import run_program
from tables import read_table

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.force_constants import compute_force_constants, force_constants_from_dataset, make_phonopy
from phonopy_mlp.inputs import read_input
from phonopy_mlp.phonons import compute_phonons


@pytest.fixture(scope="module")
def alloy():
    positions = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    atoms = Atoms("AuCu3", scaled_positions=positions, cell=[3.708] * 3, pbc=True)
    phonon = make_phonopy(atoms, np.diag([3, 3, 3]))
    return compute_force_constants(phonon, EMT()).phonon


def test_published_forces_give_the_published_phonons(mof5_forces, reference):
    dos = read_table(reference / "phonons/MOF-5/mof0/dos.dat.xz")
    thermal = read_table(reference / "phonons/MOF-5/mof0/thermal.dat")
    given = read_input(mof5_forces)
    phonon = make_phonopy(given.atoms, given.supercell_matrix, primitive_matrix="P")
    phonon.dataset = given.dataset
    phonon = force_constants_from_dataset(phonon, symmetrise=False).phonon
    result = compute_phonons(phonon, frequency_points=dos[:, 0], temperatures=thermal[:, 0], band_points=2)
    # Tolerances of the data set's README.
    assert np.abs(result.total_dos - dos[:, 1]).max() < 6.5e-5
    for ours, column in ((result.heat_capacity, 1), (result.free_energy, 2), (result.entropy, 3)):
        assert np.abs(ours - thermal[:, column]).max() < 5.01e-9
    # The paper's frequency points span the spectrum and a tenth more on either side.
    lowest, highest = result.frequencies.min(), result.frequencies.max()
    assert dos[0, 0] == pytest.approx(lowest - 0.1 * (highest - lowest), abs=1e-8)


def test_the_dos_is_phonopys_own(alloy):
    result = compute_phonons(alloy, mesh=(9, 9, 9), pitch=0.05)
    alloy.run_mesh([9, 9, 9], is_gamma_center=True)
    points = result.frequency_points
    alloy.run_total_dos(freq_min=points[0], freq_max=points[-1] + 1e-9, freq_pitch=0.05)
    assert_allclose(result.total_dos, alloy.total_dos.dos[: len(points)], atol=1e-8)


IN_MEMORY = """
import numpy as np
from mace_mof_calc import structures
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.phonons import compute_phonons
from processes import peak_memory
from springs import BondedSprings

atoms = structures.load("MOF-5")
springs = BondedSprings.within(atoms, 3.0, lambda i, j, d: 5.0)
phonon = make_phonopy(atoms, np.eye(3, dtype=int), primitive_matrix="P")
phonon = compute_force_constants(phonon, springs).phonon
before = peak_memory()
result = compute_phonons(phonon, band_points=2)
print(len(result.frequency_points), peak_memory() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts memory as Linux does")
def test_memory_of_the_dos_is_bounded():
    points, growth = (int(word) for word in run_program(IN_MEMORY).split())
    # In one shot the weights of 318 bands at all of these frequencies take gigabytes.
    assert points > 8000
    assert 1e7 < growth < 5e8


def test_element_densities_add_up_and_integrate_to_the_modes(alloy):
    result = compute_phonons(alloy, mesh=(9, 9, 9), pitch=0.002)
    assert set(result.element_dos) == {"Au", "Cu"}
    assert_allclose(sum(result.element_dos.values()), result.total_dos, atol=1e-10)
    # Tetrahedra with four equal corners are delta functions, which no frequency point sees: 0.3 % here.
    for element, modes in (("Au", 3), ("Cu", 9)):
        assert np.trapezoid(result.element_dos[element], result.frequency_points) == pytest.approx(modes, rel=5e-3)


def test_every_mode_is_counted_however_flat_its_band(alloy):
    result = compute_phonons(alloy, mesh=(5, 5, 5), pitch=1.0)
    assert {element: count[-1] for element, count in result.element_states.items()} == pytest.approx(
        {"Au": 3, "Cu": 9}, abs=1e-9
    )
    fine = compute_phonons(alloy, mesh=(11, 11, 11), pitch=0.01)
    integral = np.cumsum(fine.element_dos["Cu"]) * 0.01
    assert np.abs(fine.element_states["Cu"] - integral).max() < 0.1  # 1 %: what the density misses


def test_element_projections_need_no_full_mesh(alloy):
    result = compute_phonons(alloy, mesh=(11, 11, 11), pitch=0.1)
    alloy.run_mesh([11, 11, 11], is_gamma_center=True, with_eigenvectors=True, is_mesh_symmetry=False)
    points = result.frequency_points
    alloy.run_projected_dos(freq_min=points[0], freq_max=points[-1] + 1e-9, freq_pitch=0.1)
    gold = alloy.projected_dos.projected_dos[0][: len(points)]
    # phonopy's own splits degenerate modes as the diagonaliser happened to; below a frequency that hardly matters.
    difference = np.cumsum(result.element_dos["Au"] - gold) * 0.1
    assert np.abs(difference).max() < 0.02 * 3


def test_high_temperature_has_the_classical_heat_capacity(alloy):
    result = compute_phonons(alloy, mesh=(5, 5, 5), temperatures=[0, 5000])
    gas_constant = 8.314462618
    left_out = 3 / 125
    assert result.heat_capacity[1] == pytest.approx((12 - left_out) * gas_constant, rel=1e-3)
    assert result.entropy[0] == 0


def test_band_labels_follow_the_path(alloy):
    bands = compute_phonons(alloy, mesh=(3, 3, 3), band_points=5).bands
    assert bands.labels[0] == (r"$\Gamma$", r"$\mathrm{X}$")
    assert len(bands.labels) == len(bands.frequencies) == len(bands.distances)
    for (_, end), (start, _), q_end, q_start in zip(
        bands.labels, bands.labels[1:], bands.qpoints, bands.qpoints[1:], strict=False
    ):
        assert (end == start) == np.allclose(q_end[-1], q_start[0])


def test_arrays_cannot_be_changed(alloy):
    result = compute_phonons(alloy, mesh=(3, 3, 3))
    with pytest.raises(ValueError, match="read-only"):
        result.total_dos[0] = 1


@pytest.mark.parametrize("wrong", [{"mesh": (0, 3, 3)}, {"mesh": (3, 3)}, {"mesh": np.nan}, {"pitch": 0.0}])
def test_settings_that_make_no_sense_are_refused(alloy, wrong):
    with pytest.raises(SettingsError, match="must be"):
        compute_phonons(alloy, **wrong)

"""Committees of springs, whose spread is known."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from lattices import ScalingSprings
from numpy.testing import assert_allclose
from springs import BondedSprings, Springs

from phonopy_mlp.committee.comparison import DOS_WIDTH
from phonopy_mlp.committee.compute import expand, run_committee
from phonopy_mlp.committee.output import write_committee
from phonopy_mlp.committee.plot import plot_committee
from phonopy_mlp.committee.spread import Spread
from phonopy_mlp.errors import CalculatorError, SettingsError
from phonopy_mlp.qha.volumes import run_mlp_qha

EDGE = 4.0
LENGTH = EDGE / np.sqrt(2)
TWICE = np.diag([2, 2, 2])
# Frequencies go as the root of the stiffness: 1, 1.1 and 1.2 times those of the first.
STIFFNESS = {"two": (2.0, 2.0 * 1.1**2), "three": (2.0, 2.0 * 1.1**2, 2.0 * 1.2**2)}


def springs(k: float, length: float = LENGTH) -> Springs:
    return Springs(k, length, 3.2)


@pytest.fixture(scope="module", params=STIFFNESS)
def result(request):
    calculators = [springs(k) for k in STIFFNESS[request.param]]
    return run_committee(
        bulk("Cu", a=EDGE), calculators, supercell_matrix=TWICE, mesh=(5, 5, 5), temperatures=[0, 500, 1000], eos=True
    )


def test_frequencies_are_apart_by_a_tenth(result):
    first = result.frequencies.members[0]
    ratio = 1.05 if len(result.members) == 2 else 1.1
    assert_allclose(result.frequencies.size, 0.1 * first, rtol=1e-6)
    assert_allclose(result.frequencies.mean, ratio * first, rtol=1e-6)
    assert result.rms_frequency_spread == pytest.approx(0.1 * np.sqrt(np.nanmean(first**2)))
    for segment in result.band_frequencies:
        assert_allclose(segment.size, 0.1 * segment.members[0], rtol=1e-6, atol=1e-6)
    gamma = int(np.flatnonzero((result.bands.qpoints[0] == 0).all(axis=1))[0])
    assert_allclose(result.band_frequencies[0].members[:, gamma], 0, atol=1e-12)


def test_two_are_a_difference_and_three_a_standard_deviation(result):
    measure = "difference" if len(result.members) == 2 else "standard_deviation"
    assert result.measure == measure
    described = result.describe()
    assert measure in described["volume"]
    assert all(set(row) == {"qpoint", "mean", measure, "members"} for row in described["frequencies"])
    assert described["spread"] == measure


def test_thermal_properties_and_bulk_modulus(result):
    stiffness = STIFFNESS["two" if len(result.members) == 2 else "three"]
    zero_point = result.free_energy.members[:, 0]
    assert_allclose(zero_point / zero_point[0], np.sqrt(np.array(stiffness) / stiffness[0]), rtol=1e-6)
    # Classically F differs by 3 kT ln of the ratio of frequencies, and C by nothing.
    classical = 3 * 8.31446e-3 * 1000 * np.log(1.1)
    assert np.diff(result.free_energy.members[:2, -1])[0] == pytest.approx(classical, rel=1e-2)
    assert np.abs(result.heat_capacity.size[-1]) < 0.01 * result.heat_capacity.mean[-1]
    moduli = result.bulk_modulus.members
    assert_allclose(moduli / moduli[0], np.array(stiffness) / stiffness[0], rtol=1e-6)
    # E = 6 bonds k/2 (r - r0)^2 per atom of volume r^3 / sqrt(2): B = V E'' = 2 sqrt(2) k / 3 r0.
    assert moduli[0] == pytest.approx(2 * np.sqrt(2) / 3 * stiffness[0] / LENGTH * 160.2177, rel=2e-2)


def test_densities_of_states_hold_all_states(result):
    assert_allclose((result.dos.members * DOS_WIDTH).sum(axis=1), 3, atol=1e-9)
    assert (np.abs(result.dos.size) > 0).any()


def test_each_member_has_its_own_minimum():
    committee = [springs(2.0), springs(2.0, 1.02 * LENGTH)]
    result = run_committee(bulk("Cu", a=EDGE), committee, supercell_matrix=TWICE, mesh=(3, 3, 3), temperatures=[300])
    assert result.volume.members[1] / result.volume.members[0] == pytest.approx(1.02**3, rel=1e-6)
    assert_allclose(result.frequencies.size[1:], 0, atol=1e-5)
    assert [member.health.warnings for member in result.members] == [(), ()]
    assert result.bulk_modulus is None
    assert result.expansion is None


def test_modes_are_matched_by_eigenvector_where_they_cross():
    atoms = Atoms("Cu", cell=[3.0, 3.1, 3.3], pbc=True)

    def along(x: float, y: float, z: float) -> BondedSprings:
        slanted = [((1, 1, 0), 0.1), ((1, -1, 0), 0.1), ((1, 0, 1), 0.1), ((1, 0, -1), 0.1), ((0, 1, 1), 0.1)]
        straight = [((1, 0, 0), x), ((0, 1, 0), y), ((0, 0, 1), z)]
        return BondedSprings(atoms, [(0, 0, cell, k) for cell, k in (*straight, *slanted, ((0, 1, -1), 0.1))])

    committee = [along(1.0, 2.0, 4.0), along(2.0, 1.0, 4.0)]
    result = run_committee(atoms, committee, supercell_matrix=TWICE, mesh=(3, 3, 3), temperatures=[300])
    at = int(np.flatnonzero(np.isclose(np.abs(result.qpoints), 0.5).all(axis=1))[0])
    own, other = result.frequencies.members[:, at]
    # At R the mode along x is soft in the first and stiff in the second, the one along y the other way round.
    assert_allclose(other[[0, 1, 2]], own[[1, 0, 2]], rtol=1e-6)
    assert result.frequencies.size[at, 0] > 0.5
    assert_allclose(result.overlaps[0, at], 1, atol=1e-9)


def test_expansion_is_that_of_each_member():
    cell, temperatures = bulk("Cu", a=3.6), [0.0, 100.0]
    committee = [ScalingSprings(2.0, 3.6**3 / 4, 0.9, gamma) for gamma in (1.5, 2.5)]
    options = {"supercell_matrix": TWICE, "mesh": (3, 3, 3), "temperatures": temperatures}
    result = run_committee(cell, committee, qha=True, **options)
    alone = run_mlp_qha(cell, committee[1], **options)
    assert_allclose(result.expansion.volumetric_expansion.members[1], alone.volumetric_expansion, rtol=1e-5)
    assert_allclose(result.expansion.bulk_modulus.members[1], alone.bulk_modulus, rtol=1e-5)
    panels = [axes for axes in plot_committee(result, "Cu").axes if axes.get_title()]
    curves = {axes.get_title(): axes.lines[1].get_ydata() for axes in panels}
    assert_allclose(curves[r"V ($\mathrm{\AA}^3$)"], alone.volume, rtol=1e-5)
    assert_allclose(curves["B (GPa)"], alone.bulk_modulus, rtol=1e-5)
    # The coefficient is proportional to gamma where the expansion is small.
    assert np.divide(*result.expansion.volumetric_expansion.members[::-1, -1]) == pytest.approx(2.5 / 1.5, rel=0.05)


class Ensemble(Springs):
    """A committee of its own."""

    def make_members(self):
        return [springs(self.k), springs(2 * self.k)]


def test_a_committee_counts_as_its_members():
    assert [each.k for each in expand([Ensemble(1.0, LENGTH, 3.2), springs(5.0)])] == [1.0, 2.0, 5.0]


class Broken(Springs):
    def calculate(self, *args, **kwargs):
        raise RuntimeError("out of memory")


def test_bad_committees_are_told():
    options = {"supercell_matrix": TWICE, "mesh": (3, 3, 3)}
    with pytest.raises(SettingsError, match="committee of one"):
        run_committee(bulk("Cu", a=EDGE), [springs(1.0)], **options)
    with pytest.raises(CalculatorError, match=r"broken: The calculator failed"):
        run_committee(bulk("Cu", a=EDGE), [springs(1.0), Broken(1.0, LENGTH, 3.2)], **options)


def test_spreads():
    two, three = Spread.of([[1.0, 5.0], [4.0, 1.0]]), Spread.of([1.0, 2.0, 3.0])
    assert_allclose(two.size, [3.0, -4.0])
    assert_allclose((two.lower, two.upper), [[1.0, 1.0], [4.0, 5.0]])
    assert (float(three.size), float(three.lower), float(three.upper)) == (1.0, 1.0, 3.0)
    assert three.describe() == {"mean": 2.0, "standard_deviation": 1.0, "members": [1.0, 2.0, 3.0]}


def test_files_and_figure_name_the_measure(result, tmp_path):
    names = write_committee(result, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    content = yaml.safe_load((tmp_path / "committee.yaml").read_text())
    assert content["spread"] == result.measure
    assert_allclose(content["bulk_modulus"][result.measure], result.bulk_modulus.size)
    for name in names[1:]:
        heads = Path(tmp_path / name).read_text().splitlines()[1].split()[1:]
        table = np.loadtxt(tmp_path / name)
        assert table.shape[1] == len(heads)
        measured = [head for head in heads if head.endswith(f":{result.measure}")]
        assert measured
        mean, size = (heads.index(measured[0].replace(result.measure, kind)) for kind in ("mean", result.measure))
        members = table[:, size + 1 : size + 1 + len(result.members)]
        assert_allclose(table[:, mean], members.mean(axis=1), rtol=1e-5, atol=1e-6)
    figure = plot_committee(result, "Cu")
    assert ("standard deviation" in figure._suptitle.get_text()) == (len(result.members) == 3)
    static = next(axes for axes in figure.axes if axes.get_title() == "static B (GPa)")
    (bar,) = static.containers
    ends = np.array(bar.lines[2][0].get_segments())[0, :, 1]
    assert_allclose(ends, [result.bulk_modulus.lower, result.bulk_modulus.upper])
    drawn = [float(line.get_ydata()[0]) for line in static.lines]
    assert {*result.bulk_modulus.members.round(9)} <= {*np.round(drawn, 9)}

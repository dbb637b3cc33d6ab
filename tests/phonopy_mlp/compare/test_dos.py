"""The lowest modes of two files of densities of states, and how far up these can be trusted."""

import csv

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phonopy_mlp.compare.dos import TotalDos, compare_total_dos, read_total_dos, trusted_frequency
from phonopy_mlp.errors import SettingsError, StructureError, StructureWarning

FOLDERS = {"MACE-MP-MOF0-v2": "mof0-v2", "MACE-MP-MOF0": "mof0", "MACE-MP-0b": "0b"}
MODES = {"MOF-5": 72, "MOF-74": 40}


@pytest.fixture(scope="module")
def published(reference):
    """DFT's, and those of each model, of each framework."""
    found = {}
    for mof in MODES:
        dft = read_total_dos(reference / f"phonons/DFT_DOS/{mof}-total_dos.dat.xz")
        for model, folder in FOLDERS.items():
            found[mof, model] = dft, read_total_dos(reference / f"phonons/{mof}/{folder}/dos.dat.xz")
    return found


def test_published_deviations_of_the_lowest_modes(published, reference):
    with (reference / "derived/dos_only_rmsd.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(published)
    for row in rows:
        a, b = published[row["mof"], row["model"]]
        count = MODES[row["mof"]]
        differences = b.mode_frequencies(count) - a.mode_frequencies(count)
        assert np.sqrt(np.mean(differences**2)) == pytest.approx(float(row["rmsd_cumulative_dos"]), abs=5.1e-5)


@pytest.mark.parametrize("model", ["MACE-MP-MOF0-v2", "MACE-MP-MOF0"])
@pytest.mark.parametrize("mof", MODES)
def test_the_same_modes_are_found_by_the_published_cut(published, mof, model):
    found = compare_total_dos(*published[mof, model], cut=6.8)
    assert len(found.a) == len(found.b) == MODES[mof]
    assert found.deviation().rmsd == pytest.approx({"MOF-5": 0.044, "MOF-74": 0.129}[mof], abs=2e-3)


def test_published_files_of_mof_5_have_lost_and_invented_states(published):
    states = [file.cumulated[-1] for model in FOLDERS for file in published["MOF-5", model]]
    assert (round(min(states)), round(max(states))) == (263, 339)  # of 318


def test_beyond_the_first_gap_with_a_fraction_of_a_mode_the_files_are_refused(published):
    a, b = published["MOF-5", "MACE-MP-MOF0"]
    assert trusted_frequency(a, b) == pytest.approx(7.55, abs=0.01)
    assert len(compare_total_dos(a, b).a) == 72
    with pytest.raises(SettingsError, match=r"338\.5 and 302\.0 states"):
        compare_total_dos(a, b, cut=20)


def test_a_file_that_has_lost_a_band_of_whole_modes_is_refused_at_the_next_fraction(published, reference):
    a, b = published["MOF-5", "MACE-MP-0b"]
    bands = np.load(reference / "phonons/MOF-5/0b/bands.npz")["frequency"]
    # Its bands have 70 modes below their gap at 5 THz; its density of states lacks four, which no file alone can tell.
    assert set((bands < 5.2).sum(axis=-1).ravel()) == {70}
    gap = next(states for start, end, states in b.gaps() if start < 5.2 < end)
    assert gap == pytest.approx(65.94, abs=0.01)
    with pytest.raises(SettingsError, match=r"above 5\.70 THz"):
        compare_total_dos(a, b, cut=6.8)


def boxes(*bands, pitch=0.01):
    """Return the density of bands that are each (start, end, states) and evenly filled."""
    points = np.arange(-1, 30, pitch)
    density = np.zeros_like(points)
    for start, end, states in bands:
        inside = (points > start) & (points < end)
        density[inside] += states / (inside.sum() * pitch)
    return TotalDos(points, density)


def test_modes_of_evenly_filled_bands():
    a = boxes((1.0, 4.0, 3), (10, 13, 3))
    b = boxes((1.2, 4.2, 3), (10, 13, 3))
    assert_allclose(a.mode_frequencies(6), [1.5, 2.5, 3.5, 10.5, 11.5, 12.5], atol=0.02)
    found = compare_total_dos(a, b)
    assert found.trusted > 25  # nothing is missing
    assert_allclose(found.b - found.a, [0.2, 0.2, 0.2, 0, 0, 0], atol=0.02)
    assert len(compare_total_dos(a, b, cut=3.0).a) == 2


def test_bands_that_one_file_lacks_end_the_comparison():
    a = boxes((1.0, 4.0, 3), (10, 13, 3))
    assert trusted_frequency(a, boxes((1.0, 4.0, 3), (10, 13, 2.6))) == pytest.approx(10, abs=0.1)
    assert trusted_frequency(a, boxes((1.0, 4.0, 3), (10, 13, 2))) == pytest.approx(10, abs=0.1)
    with pytest.raises(SettingsError, match="flatter than the pitch"):
        compare_total_dos(a, boxes((1.0, 4.0, 2.5), (10, 13, 3)), cut=2.0)


def test_cells_of_other_numbers_of_atoms_disagree():
    small, large = boxes((1.0, 4.0, 3)), boxes((1.0, 4.0, 6))
    for pair in ((small, large), (large, small)):
        with (
            pytest.warns(StructureWarning, match=r"6\.0 .*not of as many atoms"),
            pytest.raises(SettingsError, match=r"not the same ones .* cells are not of as many atoms"),
        ):
            compare_total_dos(*pair)


def test_cells_of_other_numbers_of_atoms_are_warned_of_where_no_gap_tells():
    small, large = boxes((1.0, 4.0, 3), (4.1, 8.0, 3)), boxes((1.2, 8.4, 12))
    for pair in ((small, large), (large, small)):
        with pytest.warns(StructureWarning, match=r"12\.0 .*not of as many atoms"):
            compare_total_dos(*pair)


def test_a_flat_band_that_counts_many_times_is_warned_of_and_spoils_nothing_below():
    a, b = boxes((1.0, 4.0, 3), (10, 13, 3)), boxes((1.2, 4.2, 3), (10.1, 10.15, 60))
    with pytest.warns(StructureWarning, match=r"6\.0 and 63\.0 states"):
        found = compare_total_dos(a, b)
    assert_allclose(found.b - found.a, 0.2, atol=0.02)
    assert len(found.a) == 3


@pytest.mark.parametrize("cut", [0.0, -1.0, np.nan])
def test_a_cut_must_be_positive(cut):
    with pytest.raises(SettingsError, match="positive"):
        compare_total_dos(boxes((1, 2, 3)), boxes((1, 2, 3)), cut=cut)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2 3\n2 3 4\n", "3 columns"),
        ("", "it holds no numbers"),
        ("# nothing\n", "it holds no numbers"),
        ("0 0\n0.1 0\n0.2 0\n", "it holds no states"),
        ("a b\n", "could not convert"),
        ("0 0\n0.1 0\n0.5 0\n", "equal steps"),
        ("0 0\n0.1 nan\n0.2 0\n", "equal steps"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, text, reason):
    path = tmp_path / "total_dos.dat"
    path.write_text(text)
    with pytest.raises(StructureError, match=reason):
        read_total_dos(path)

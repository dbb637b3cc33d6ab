import dataclasses

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from matplotlib.figure import Figure

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.phonons import compute_phonons
from phonopy_mlp.plot import check_figure, plot_phonons, write_figure


@pytest.fixture(scope="module")
def phonons():
    positions = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    atoms = Atoms("AuCu3", scaled_positions=positions, cell=[3.708] * 3, pbc=True)
    phonon = make_phonopy(atoms, np.diag([2, 2, 2]))
    return compute_phonons(compute_force_constants(phonon, EMT()).phonon, mesh=(5, 5, 5), band_points=11)


def axes_of(figure: Figure, label: str):
    (found,) = [axes for axes in figure.axes if label in (axes.get_xlabel(), axes.get_ylabel())]
    return found


def test_axes_have_quantities_and_units(phonons):
    figure = plot_phonons(phonons, "gold and copper")
    assert figure.get_suptitle() == "gold and copper"
    labels = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert labels >= {"Frequency (THz)", "DOS (states/THz/primitive cell)", "Temperature (K)"}


def test_bands_are_those_computed(phonons):
    axes = axes_of(plot_phonons(phonons, ""), "Frequency (THz)")
    drawn = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 11]
    assert len(drawn) == 12 * len(phonons.bands.frequencies)
    np.testing.assert_array_equal(drawn[0], phonons.bands.frequencies[0][:, 0])
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks[0] == r"$\Gamma$"
    assert len(ticks) == len(phonons.bands.labels) + 1


def test_the_low_frequencies_get_a_panel_of_their_own_where_they_are_a_small_part(phonons):
    assert len(plot_phonons(phonons, "").axes) == 4  # bands, DOS, thermal and its twin
    figure = plot_phonons(phonons, "", low_frequency=2.0)
    assert len(figure.axes) == 6
    assert sorted(axes.get_ylim()[1] for axes in figure.axes if axes.get_ylabel() == "Frequency (THz)")[0] == 2.0


def test_drawn_states_add_up_to_the_modes(phonons):
    axes = axes_of(plot_phonons(phonons, ""), "DOS (states/THz/primitive cell)")
    steps = {patch.get_label(): patch.get_data() for patch in axes.patches}
    states = {name: float(np.sum(data.values * np.diff(data.edges))) for name, data in steps.items()}
    assert states == pytest.approx({"Au": 3, "Cu": 9, "total": 12}, abs=1e-6)


def test_one_temperature_can_be_drawn(phonons, tmp_path):
    one = {name: getattr(phonons, name)[:1] for name in ("temperatures", "free_energy", "entropy", "heat_capacity")}
    write_figure(plot_phonons(dataclasses.replace(phonons, **one), ""), tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["phonons.pdf", "phonons.svg"])
def test_the_suffix_gives_the_format(phonons, tmp_path, name):
    write_figure(plot_phonons(phonons, ""), tmp_path / name)
    head = (tmp_path / name).read_bytes()[:200]
    assert (b"%PDF" if name.endswith("pdf") else b"<?xml") in head


def test_a_figure_that_cannot_be_written_is_refused_before_it_is_drawn(tmp_path):
    for path in (tmp_path / "missing" / "x.png", tmp_path / "x.nonsense"):
        with pytest.raises(SettingsError, match="cannot be written"):
            check_figure(path)

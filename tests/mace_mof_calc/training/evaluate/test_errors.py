"""Errors against numbers worked out by hand."""

import csv
import io

import numpy as np
import pytest
from ase import Atoms

from mace_mof_calc.frames import Labels, attach_labels
from mace_mof_calc.training.evaluate.errors import compute_errors, pair
from mace_mof_calc.training.evaluate.table import format_csv, format_text, make_rows, plot_parity


def frame(formula, energy, forces, stress=None, **info):
    atoms = Atoms(formula, cell=[9] * 3, pbc=stress is not None)
    atoms.info |= info
    return attach_labels(atoms, Labels(energy, np.array(forces, dtype=float), stress))


@pytest.fixture
def compared():
    """Water twice and hydrogen, with errors of 0.3, 0.9 and -0.4 eV, of forces on one atom each, and of one stress."""
    still = np.zeros((3, 3))
    frames = [
        frame("OH2", -10.0, [[3, 0, 0], [0, 4, 0], [0, 0, 0]], np.zeros(6), source="water", kind="md"),
        frame("H4O2", -21.0, np.zeros((6, 3)), np.zeros(6), source="water", kind="rattle"),
        frame("H2", -2.0, np.zeros((2, 3)), source="hydrogen", kind="md"),
    ]
    on_oxygen, on_hydrogen = still.copy(), np.zeros((2, 3))
    on_oxygen[0, 0], on_hydrogen[0, 2] = 0.5, -1.0
    return pair(
        frames,
        [
            Labels(-9.7, frames[0].arrays["REF_forces"] + on_oxygen, np.array([0.06, 0, 0, 0, 0, 0])),
            Labels(-20.1, np.zeros((6, 3)), np.zeros(6)),
            Labels(-2.4, on_hydrogen, None),
        ],
    )


def test_by_hand(compared):
    found = {each.group: each for each in compute_errors(compared)}
    assert list(found) == [
        "all",
        "source hydrogen",
        "source water",
        "kind md",
        "kind rattle",
        "element H",
        "element O",
    ]
    everything = found["all"]
    per_atom = np.array([0.1, 0.15, -0.2])
    assert everything.frames == 3
    assert everything.energy_rmse_total == pytest.approx(np.sqrt((0.3**2 + 0.9**2 + 0.4**2) / 3))
    assert everything.energy_rmse == pytest.approx(np.sqrt((per_atom**2).mean()))
    assert everything.energy_mae == pytest.approx(0.15)
    # Both waters have one composition, whose mean error is 0.125.
    assert everything.energy_rmse_shifted == pytest.approx(np.sqrt(2 * 0.025**2 / 3))
    assert everything.forces_rmse == pytest.approx(np.sqrt((0.25 + 1.0) / 33))
    assert everything.forces_mae == pytest.approx(1.5 / 33)
    assert everything.forces_relative == pytest.approx(np.sqrt(1.25 / 25.0))
    assert everything.stress_rmse == pytest.approx(np.sqrt(0.06**2 / 12))
    assert everything.stress_mae == pytest.approx(0.005)
    assert (found["source water"].frames, found["kind md"].frames) == (2, 2)
    assert found["source hydrogen"].stress_rmse is None
    assert found["source hydrogen"].forces_relative is None
    assert found["element O"].forces_rmse == pytest.approx(0.5 / 3)  # three atoms
    assert found["element O"].forces_relative == pytest.approx(0.5 / 3)
    assert found["element O"].energy_rmse is None
    assert (found["element H"].frames, found["element O"].frames) == (3, 2)


def test_tables(compared):
    rows = make_rows(compute_errors(compared))
    first = next(csv.DictReader(io.StringIO(format_csv(rows))))
    assert float(first["energy_rmse_eV"]) == pytest.approx(np.sqrt(1.06 / 3))
    assert float(first["energy_mae_meV_per_atom"]) == pytest.approx(150)
    assert float(first["forces_mae_meV_per_A"]) == pytest.approx(1500 / 33)
    assert float(first["stress_mae_meV_per_A3"]) == pytest.approx(5)
    assert rows[1]["stress_rmse_meV_per_A3"] is None
    lines = format_text(rows).splitlines()
    assert lines[0].split() == ["frames", "meV/atom", "meV/A", "of", "forces", "meV/A^3"]
    assert lines[2].split() == ["source", "hydrogen", "1", "200", "408.2"]


def test_the_parity_plot_has_all_points(compared):
    figure = plot_parity(compared, "x")
    energies, forces, stresses = figure.axes
    assert [len(line.get_xdata()) for line in energies.lines[:2]] == [2, 1]
    assert [len(line.get_xdata()) for line in forces.lines[:2]] == [27, 6]
    assert [len(line.get_xdata()) for line in stresses.lines[:2]] == [12, 0]
    # Off the diagonal by the error per atom, about the mean label of the composition.
    (waters, _) = energies.lines[:2]
    np.testing.assert_allclose(waters.get_ydata() - waters.get_xdata(), [0.1, 0.15])
    np.testing.assert_allclose(waters.get_xdata().sum(), 0, atol=1e-12)

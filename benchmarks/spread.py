"""What the spread of a committee is worth; writes ``results/spread.csv`` and ``docs/figures/spread-mini.png``.

The members (``training/mini/ensemble.sh``) were trained on MOF-5 alone. Their mean is compared with GFN1-xTB, which is
the truth here, on MOF-5 and on MOF-74, which has the same elements and was not in the training set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from matplotlib.figure import Figure
from numpy.typing import NDArray
from paper.gfn1 import Reference
from rows import RESULTS, write_rows
from scipy.stats import spearmanr

from mace_mof_calc import MaceMOF
from phonopy_mlp.compare import compare_frequencies
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.plot import write_figure

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = ("MOF-5", "MOF-74")
UNITS = {"frequency": "THz", "force": "eV/A"}
Values = NDArray[np.float64]


def frequencies(calculators: list[Calculator], reference: Reference, name: str) -> tuple[Values, Values]:
    """Spread and error of each frequency (THz) at the reference's minimum, modes paired by eigenvector.

    At their own minima the members could not be compared on MOF-74: there they leave its basin.
    """
    truth = reference.phonons(name)
    mesh = [int(n) for n in np.diag(truth.supercell_matrix)]
    found = []
    for calculator in calculators:
        phonon = make_phonopy(reference.minimum(name), truth.supercell_matrix, primitive_matrix=np.eye(3))
        compared = compare_frequencies(truth, compute_force_constants(phonon, calculator).phonon, mesh=mesh)
        found.append(compared.paired("overlap"))
    members, known = np.array(found), np.isfinite(compared.a)
    return members.std(axis=0, ddof=1)[known], np.abs(members.mean(axis=0) - compared.a)[known]


def forces(calculators: list[Calculator], frames: list[Atoms]) -> tuple[Values, Values]:
    """Spread and error of the force on each atom (eV/A) in thermally displaced configurations."""
    spreads, errors = [], []
    for frame in (a for a in frames if a.info["kind"] == "thermal"):
        members = np.array([calculator.get_forces(frame.copy()) for calculator in calculators])
        spreads.append(np.linalg.norm(members.std(axis=0, ddof=1), axis=1))
        errors.append(np.linalg.norm(members.mean(axis=0) - frame.get_forces(), axis=1))
    return np.concatenate(spreads), np.concatenate(errors)


def summarise(name: str, quantity: str, spread: Values, error: Values) -> dict[str, Any]:
    """Summarise in one row of the table."""
    rms_spread, rms_error = (float(np.sqrt(np.mean(each**2))) for each in (spread, error))
    return {
        "framework": name,
        "quantity": quantity,
        "unit": UNITS[quantity],
        "number": len(spread),
        "rms_spread": rms_spread,
        "rms_error": rms_error,
        "error_over_spread": rms_error / rms_spread,
        "rank_correlation": float(spearmanr(spread, error).statistic),
        "share_within_two_spreads": float(np.mean(error <= 2 * spread)),
    }


def draw(found: dict[tuple[str, str], tuple[Values, Values]]) -> Figure:
    """Draw error against spread, one panel for each quantity."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), UNITS, strict=True):
        for name in FRAMEWORKS:
            spread, error = found[name, quantity]
            axes.loglog(spread, error, ".", markersize=3, alpha=0.5, label=name)
        ends = np.array(axes.get_xlim())
        axes.loglog(ends, ends, "k-", linewidth=0.8, label="error = spread")
        axes.loglog(ends, 2 * ends, "k:", linewidth=0.8, label="error = 2 spreads")
        axes.set_xlim(*ends)
        axes.set_xlabel(f"standard deviation of the members ({UNITS[quantity]})")
        axes.set_ylabel(f"error of their mean ({UNITS[quantity]})")
        axes.set_title({"frequency": "Frequencies", "force": "Forces on atoms, thermal"}[quantity])
    axes.legend()
    return figure


def main() -> None:
    """Write table and figure."""
    files = sorted((Path(__file__).parent / "ensemble").glob("member-*.json"))
    calculators = [MaceMOF(file) for file in files]
    reference = Reference(ROOT / "build" / "paper" / "gfn1")
    found = {}
    for name in FRAMEWORKS:
        found[name, "frequency"] = frequencies(calculators, reference, name)
        found[name, "force"] = forces(calculators, reference.test_labels(name))
    rows = [summarise(*key, *values) for key, values in found.items()]
    write_rows(RESULTS / "spread.csv", rows, digits=3)
    write_figure(draw(found), ROOT / "docs" / "figures" / "spread-mini.png")


if __name__ == "__main__":
    main()

"""Self-consistent phonons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phonopy_mlp.anharmonic.output import SSCHA_FILE
from phonopy_mlp.plot import COLOURS
from phonopy_mlp.report.chart import Curve, draw_chart
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import paragraph, table
from phonopy_mlp.report.section import Section


def make(run: FinishedRun) -> Section | None:
    """Return how each temperature converged, and what came out."""
    content = run.read_yaml(SSCHA_FILE) if run.did("sscha") else None
    if content is None:
        return None
    energies, frequencies, rows = [], [], []
    for point, colour in zip(content["temperatures"], COLOURS * len(content["temperatures"]), strict=False):
        names = ("free_energy", "free_energy_error", "lowest_frequency", "mean_frequency")
        columns = np.array([[each[name] for name in names] for each in point["iterations"]], dtype=float).T
        numbers, label = np.arange(1, columns.shape[1] + 1), f"{point['temperature']:g} K"
        departure = 1e3 * (columns[0] - point["free_energy"])
        energies.append(Curve(numbers, departure, label, colour, "both", 1e3 * columns[1]))
        frequencies.append(Curve(numbers, columns[2], label, colour, "both"))
        rows.append(
            (
                f"{point['temperature']:g}",
                f"{point['free_energy']:.5f} ± {point['free_energy_error']:.5f}",
                f"{point['lowest_frequency']:.4f}",
                point["imaginary_modes"],
                point["snapshots"],
                f"{len(numbers)}, the first {point['transient']} not counted",
            )
        )
    return Section(
        "sscha",
        "Self-consistent phonons",
        before=_warn_of_imaginary_modes(content)
        + paragraph("The self-consistent harmonic approximation; energies are per primitive cell."),
        figures=(
            draw_chart(
                "sscha_free_energy",
                "Free energy of each iteration less the mean of those that count, with its statistical error.",
                "Iteration",
                "F − mean (meV/primitive cell)",
                energies,
                counts=True,
            ),
            draw_chart(
                "sscha_frequency",
                "Lowest commensurate frequency of the force constants that each iteration ended with.",
                "Iteration",
                "Lowest frequency (THz)",
                frequencies,
                counts=True,
            ),
        ),
        after=table(
            rows, head=("T (K)", "F (eV)", "lowest frequency (THz)", "imaginary modes", "snapshots", "iterations")
        ),
    )


def _warn_of_imaginary_modes(content: Mapping[str, Any]) -> str:
    unstable = [f"{point['temperature']:g} K" for point in content["temperatures"] if point["imaginary_modes"]]
    if not unstable:
        return ""
    return paragraph(f"Modes are imaginary at {', '.join(unstable)}; the free energy lacks them.", kind="warning")

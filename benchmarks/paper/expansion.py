"""Table 6 and the curve of thermal expansion."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from paper.study import Study
from phonopy_mlp.plot import cycle
from phonopy_mlp.qha.volumes import STRAIN
from phonopy_mlp.symmetry import LOOSE, find_space_group

COLUMN = "{} x 10^(6) K^-1"
"""Columns of the published curve."""

STRAINS = {"mini": 0.0045}
"""By model, where it is not the command's own: over larger ones the linkers buckle with the embedded model."""

REACH = {"mini": 200.0}
"""Highest temperature (K) by model, where F(V) has a minimum among stable volumes no further than that."""

TEMPERATURES = (100.0, 200.0, 300.0, 350.0)
"""Of the table, in K; the last two are the published one's."""

Curve = NDArray[Any]
"""Temperatures (K) and volumetric coefficients (1/K). shape=(2, temperatures)."""


def run(study: Study) -> None:
    """Write ``table6.csv`` and ``expansion.png``."""
    curves: dict[str, Curve] = {}
    for name in study.frameworks:
        with study.trying(name, "expansion"):
            curve = compute(study, name)
            if curve is not None:
                curves[name] = curve
    published = {(row["mof"], float(row["T_K"])): row for row in study.published.table("table6_cte_1e-6_per_K")}
    places = [(name, temperature) for name in curves for temperature in TEMPERATURES]
    study.write_table(
        "table6", [make_row(study, curves, published, *place) for place in dict.fromkeys([*published, *places])]
    )
    if curves:
        study.write_figure("expansion", _draw(study, curves))


def compute(study: Study, name: str) -> Curve | None:
    """Return the expansion of a crystal that is cubic, so that its linear coefficient is a third; None of others."""
    if not find_space_group(study.relaxed(name), LOOSE).is_cubic:
        return None
    highest = REACH.get(study.model, TEMPERATURES[-1])
    options = ["--dim", *study.dim, "--mesh", *map(str, study.mesh), "--tmax", f"{highest:g}"]
    # Vinet's equation has no value where B' is 1, and MOF-5's by mini goes through it.
    options += ["--qha-form", "birch_murnaghan"]
    folder = study.run(name, "qha", *options, "--qha-strain", f"{strain(study):g}", "--qha-imaginary", "exclude")
    return np.loadtxt(folder / "thermal_expansion.dat")[:, :2].T


def strain(study: Study) -> float:
    """Return the largest strain of the cell lengths."""
    return STRAINS.get(study.model, STRAIN) if study.qha_strain is None else study.qha_strain


def make_row(
    study: Study, curves: dict[str, Curve], published: dict[tuple[str, float], dict[str, str]], name: str, kelvin: float
) -> dict[str, Any]:
    """Return a row of the table, without ours where no curve reaches."""
    row: dict[str, Any] = {"framework": name, "T_K": kelvin}
    if name in curves and kelvin <= curves[name][0, -1]:
        volumetric = 1e6 * float(np.interp(kelvin, *curves[name]))
        row |= {
            "strain": strain(study),
            f"{study.title}, volumetric": volumetric,
            f"{study.title}, linear": volumetric / 3,
        }
    if (name, kelvin) in published:
        paper = published[name, kelvin]
        row |= {
            "MACE-MP-MOF0-v2 (paper)": paper["MACE_MP_MOF0_v2"],
            "DFT (paper)": paper["DFT"],
            "simulation (paper)": paper["simulation"],
            "experiment (paper)": paper["experiment"],
        }
    return row


def _draw(study: Study, curves: dict[str, Curve]) -> Figure:
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    published = study.published.table("NegativeThermalExpansion")
    for (name, (temperatures, expansion)), colour in zip(curves.items(), cycle(len(curves)), strict=True):
        shown = temperatures > 0
        axes.plot(temperatures[shown], 1e6 * expansion[shown] / 3, color=colour, label=f"{name}, {study.title}, linear")
        points = [
            (float(row["Temperature"]), float(row[COLUMN.format(name)]))
            for row in published
            if COLUMN.format(name) in row
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "--", color=colour, label=f"{name}, MACE-MP-MOF0-v2 (paper)")
    axes.axhline(0, color="0.4", linewidth=0.6)
    axes.set_xlim(0, TEMPERATURES[-1])
    axes.set_xlabel("Temperature (K)")
    axes.set_ylabel(r"Expansion coefficient ($10^{-6}$/K)")
    axes.legend(frameon=False)
    return figure

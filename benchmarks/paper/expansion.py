"""Table 6 and the curve of thermal expansion."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from paper.study import Study

CRYSTALS = ("MOF-5", "UiO-66")
"""The cubic ones, whose linear coefficient is a third of the volumetric one."""

COLUMN = "{} x 10^(6) K^-1"
"""Columns of the published curve."""

STRAIN = "0.0045"
"""Over larger strains the linkers buckle with the embedded model."""


def run(study: Study) -> None:
    """Write ``table6.csv`` and ``expansion.png``."""
    rows, curves = [], {}
    for name in filter(study.frameworks.__contains__, CRYSTALS):
        options = ["--dim", *study.dim, "--mesh", *map(str, study.mesh), "--tmax", "350"]
        with study.trying(name, "expansion"):
            folder = study.run(name, "qha", *options, "--qha-strain", STRAIN, "--qha-imaginary", "exclude")
            curves[name] = np.loadtxt(folder / "thermal_expansion.dat")[:, :2].T
    for row in study.published.table("table6_cte_1e-6_per_K"):
        temperature = float(row["T_K"])
        volumetric = float(np.interp(temperature, *curves[row["mof"]])) if row["mof"] in curves else float("nan")
        rows.append(
            {
                "framework": row["mof"],
                "T_K": temperature,
                f"{study.title}, volumetric": 1e6 * volumetric,
                f"{study.title}, linear": 1e6 * volumetric / 3,
                "MACE-MP-MOF0-v2 (paper)": row["MACE_MP_MOF0_v2"],
                "DFT (paper)": row["DFT"],
                "simulation (paper)": row["simulation"],
                "experiment (paper)": row["experiment"],
            }
        )
    if not rows:
        for name, (temperatures, expansion) in curves.items():
            for temperature in (300.0, 350.0):
                value = 1e6 * float(np.interp(temperature, temperatures, expansion))
                rows.append(
                    {
                        "framework": name,
                        "T_K": temperature,
                        f"{study.title}, volumetric": value,
                        f"{study.title}, linear": value / 3,
                    }
                )
    study.write_table("table6", rows)
    study.write_figure("expansion", _draw(study, curves))


def _draw(study: Study, curves: dict[str, np.ndarray]) -> Figure:
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    published = study.published.table("NegativeThermalExpansion")
    for (name, (temperatures, expansion)), colour in zip(curves.items(), ("#0072b2", "#d55e00"), strict=False):
        shown = temperatures > 0
        axes.plot(temperatures[shown], 1e6 * expansion[shown] / 3, color=colour, label=f"{name}, {study.title}, linear")
        points = [(float(row["Temperature"]), float(row[COLUMN.format(name)])) for row in published]
        if points:
            axes.plot(*zip(*points, strict=True), "--", color=colour, label=f"{name}, MACE-MP-MOF0-v2 (paper)")
    axes.axhline(0, color="0.4", linewidth=0.6)
    axes.set_xlim(0, 350)
    axes.set_xlabel("Temperature (K)")
    axes.set_ylabel(r"Expansion coefficient ($10^{-6}$/K)")
    axes.legend(frameon=False)
    return figure

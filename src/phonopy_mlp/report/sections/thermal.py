"""Harmonic thermal properties."""

from __future__ import annotations

import numpy as np

from phonopy_mlp.plot import COLOURS
from phonopy_mlp.report.chart import Array, Curve, Style, draw_chart
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import paragraph, table
from phonopy_mlp.report.section import Section

THERMAL_FILE = "thermal_properties.yaml"
_ROWS = 6


def make(run: FinishedRun) -> Section | None:
    """Return free energy, entropy and heat capacity: phonopy's own if the run had it compute them, or else ours."""
    tags = (run.main.get("settings") or {}).get("phonopy_tags") or {}
    found = _from_file(run) if "tprop" in tags and run.did("phonopy") else None
    source = f"From {THERMAL_FILE}."
    if found is None and run.harmonic is not None:
        phonons = run.harmonic.phonons
        found = np.array([phonons.temperatures, phonons.free_energy, phonons.entropy, phonons.heat_capacity])
        source = f"From the force constants, on a {' × '.join(map(str, phonons.mesh))} mesh."
    if found is None:
        return None
    temperatures, free_energy, entropy, heat_capacity = found
    rows = np.unique(np.linspace(0, len(temperatures) - 1, _ROWS).round().astype(int))
    per = "per mol of primitive cells"
    style: Style = "line" if len(temperatures) > 1 else "points"
    return Section(
        "thermal",
        "Thermal properties",
        before=paragraph(f"{source} Imaginary modes do not enter."),
        figures=(
            draw_chart(
                "free_energy",
                f"Vibrational Helmholtz energy, {per}.",
                "Temperature (K)",
                "F (kJ/mol)",
                [Curve(temperatures, free_energy, style=style)],
            ),
            draw_chart(
                "entropy",
                f"Entropy and heat capacity at constant volume, {per}.",
                "Temperature (K)",
                "S, Cᵥ (J/K/mol)",
                [
                    Curve(temperatures, entropy, "S", COLOURS[1], style),
                    Curve(temperatures, heat_capacity, "Cᵥ", COLOURS[2], style),
                ],
            ),
        ),
        after=table(
            [(f"{found[0, k]:g}", *(f"{value:.3f}" for value in found[1:, k])) for k in rows],
            head=("T (K)", "F (kJ/mol)", "S (J/K/mol)", "Cᵥ (J/K/mol)"),
        ),
    )


def _from_file(run: FinishedRun) -> Array | None:
    content = run.read_yaml(THERMAL_FILE)
    if content is None:
        return None
    names = ("temperature", "free_energy", "entropy", "heat_capacity")
    return np.array([[float(row[name]) for row in content["thermal_properties"]] for name in names])

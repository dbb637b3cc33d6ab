"""Relaxation."""

from __future__ import annotations

from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import paragraph, table
from phonopy_mlp.report.section import Section

_ROWS = {
    "cell": "cell",
    "pressure": "pressure (GPa)",
    "fmax": "goal (eV/Å)",
    "converged": "reached",
    "steps": "steps",
    "residual_force": "residual force (eV/Å)",
    "residual_stress": "residual stress (eV/Å³)",
    "energy_change": "energy change (eV)",
    "volume_change": "volume change (%)",
    "space_groups_before": "space group before",
    "space_groups_after": "space group after",
}


def make(run: FinishedRun) -> Section | None:
    """Return each relaxation, and the projection onto a space group."""
    steps = run.steps()
    done = {name: steps[name] for name in ("relax", "relax_in_symmetry") if name in steps}
    rows = [
        (label, *(_cell(key, step.get(key)) for step in done.values()))
        for key, label in _ROWS.items()
        if any(key in step for step in done.values())
    ]
    parts = [table(rows, head=("", *(name.replace("_", " ") for name in done)))] if rows else []
    if "symmetrise" in steps:
        step = steps["symmetrise"]
        parts.append(paragraph(f"Projected onto {step.get('space_group')} (tolerance {step.get('tolerance')} Å)."))
    return Section("relaxation", "Relaxation", "".join(parts)) if parts else None


def _cell(key: str, value: object) -> object:
    if key == "volume_change" and isinstance(value, float):
        return 100 * value
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return value

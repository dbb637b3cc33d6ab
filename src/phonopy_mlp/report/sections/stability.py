"""How imaginary modes were looked for and removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phonopy_mlp.plot import COLOURS
from phonopy_mlp.report.chart import Curve, draw_chart
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import paragraph, table
from phonopy_mlp.report.section import Figure, Section

_HEAD = ("step", "method", "along", "outcome", "energy (meV/f.u.)", "atoms", "space group")


def make(run: FinishedRun) -> Section | None:
    """Return the audit trail, and what was left in the end."""
    step = run.steps().get("stabilise")
    if not step:
        return None
    trail = step.get("trail") or []
    stable = bool(step.get("stable"))
    lowest = step.get("lowest_frequency")
    outcome = f"Stable: the lowest commensurate frequency is {lowest:.4f} THz." if stable else _what_is_left(step)
    figure = _draw_energies(trail)
    return Section(
        "stability",
        "Stability",
        before=paragraph(outcome, kind="good" if stable else "warning"),
        figures=() if figure is None else (figure,),
        after=table([(k, *_row(each)) for k, each in enumerate(trail)], head=_HEAD) + _left(step),
        facts=(("Stable after stabilisation", "yes" if stable else "no"),),
    )


def _what_is_left(step: Mapping[str, Any]) -> str:
    modes, waves, strains = (
        len(step.get(name) or []) for name in ("unstable_modes", "unstable_long_waves", "unstable_strains")
    )
    return (
        f"Not stable: {modes} imaginary modes, {waves} long waves and {strains} strains are left; the lowest "
        f"commensurate frequency is {step.get('lowest_frequency'):.4f} THz."
    )


def _row(step: Mapping[str, Any]) -> tuple[Any, ...]:
    along = ""
    if step.get("frequency") is not None:
        along = f"{step['frequency']:.3f} THz at q = ({_vector(step.get('qpoint') or [])})"
    elif step.get("direction"):
        along = f"long wave along ({_vector(step['direction'])})"
    elif step.get("strain"):
        along = "a strain"
    accepted = bool(step.get("accepted"))
    change = step.get("energy_change_per_formula_unit")
    groups = step.get("space_groups_after") or step.get("space_groups_before") or [""]
    return (
        step.get("method"),
        along,
        "accepted" if accepted else f"rejected: {step.get('reason')}",
        None if change is None else f"{1e3 * change:+.3f}",
        (step.get("atoms") or [None])[-1],
        groups[-1],
    )


def _left(step: Mapping[str, Any]) -> str:
    rows = [
        (kind, f"{mode['frequency']:.4f}", f"({_vector(mode['qpoint'])})", f"{mode['noise']:.1e}")
        for kind, name in (("unstable", "unstable_modes"), ("within noise", "modes_within_noise"))
        for mode in step.get(name) or []
    ]
    return table(rows, head=("modes left", "frequency (THz)", "q", "noise (THz)")) if rows else ""


def _draw_energies(trail: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Return the energy along the accepted steps, where there were any after the relaxation."""
    accepted = [(k, each["energy_change_per_formula_unit"]) for k, each in enumerate(trail) if each.get("accepted")]
    if len(accepted) < 2:
        return None
    numbers, changes = np.array(accepted, dtype=float).T
    energies = 1e3 * (np.cumsum(changes) - changes[0])
    return draw_chart(
        "stability",
        "Energy along the accepted steps, from the relaxed structure at the beginning.",
        "Step",
        "Energy (meV/formula unit)",
        [Curve(numbers, energies, colour=COLOURS[0], style="both")],
        counts=True,
    )


def _vector(components: Sequence[float]) -> str:
    return " ".join(f"{round(component, 4) + 0.0:g}" for component in components)

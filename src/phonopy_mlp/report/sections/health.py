"""What to know before anything else: warnings, numerical health, whether the model covers the structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import details, facts, nested, paragraph
from phonopy_mlp.report.section import Section

_CHECKS = ("health", "domain")
"""Entries of a record, or of a step of it, that judge the run."""

_FORCE_CONSTANTS = {
    "lowest_commensurate_frequency": "Lowest commensurate frequency, translations left out (THz)",
    "imaginary_commensurate_modes": "Imaginary modes at commensurate q-points",
}


def make(run: FinishedRun) -> Section:
    """Return warnings and health; without any of either, it says so."""
    parts = [paragraph(text, kind="warning") for text in _warnings(run)]
    if not parts:
        parts.append(paragraph("The commands gave no warnings.", kind="good"))
    parts += [paragraph(text, kind="note") for text in _notes(run)]
    for name, check in _checks(run):
        parts.append(details(name, nested(check)))
    step = run.steps().get("force_constants")
    if step:
        parts.append(facts((label, step[key]) for key, label in _FORCE_CONSTANTS.items() if key in step))
    return Section("health", "Warnings and health", "".join(parts))


def _warnings(run: FinishedRun) -> Iterator[str]:
    said = set()
    for record in run.records.values():
        for text in map(str, record.get("warnings") or ()):
            if text not in said:
                said.add(text)
                yield text


def _notes(run: FinishedRun) -> Iterator[str]:
    """Return what calculators say of themselves."""
    notes = {}
    for record in run.records.values():
        calculator = record.get("calculator") or {}
        if calculator.get("notes"):
            notes[str(calculator.get("name"))] = str(calculator["notes"])
    return (f"Model {name}: {text}" for name, text in notes.items())


def _checks(run: FinishedRun) -> Iterator[tuple[str, Any]]:
    for record in run.records.values():
        holders = {"": record, **(record.get("steps") or {})}
        for step, holder in holders.items():
            for check in _CHECKS:
                if isinstance(holder, Mapping) and holder.get(check):
                    of = f" ({step.replace('_', ' ')})" if step else ""
                    yield f"{check.capitalize()}{of}", holder[check]

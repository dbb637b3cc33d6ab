"""What to know before anything else: warnings, numerical health, whether the model covers the structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import details, facts, paragraph, table
from phonopy_mlp.report.section import Section

_MOST_ATOMS = 8
"""Atoms of a finding that are listed; the record has all."""

_DOUBTFUL = "doubtful"
_HEAD = ("check", "", "value", "sound up to", "of")

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
    steps = [(name, step) for record in run.records.values() for name, step in record["steps"].items()]
    checks = [row for name, step in steps for row in _checks(_words(name), step)]
    if checks:
        parts.append(table(checks, head=_HEAD))
    members = [row for _, step in steps for each in step.get("members", ()) for row in _checks(each["name"], each)]
    if members:
        doubtful = sum(row[1] == _DOUBTFUL for row in members)
        parts.append(details(f"Health of each model of the committee: {doubtful} doubtful", table(members, head=_HEAD)))
    parts += _domains(run)
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


def _checks(whose: str, holder: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Return a row for each check of numerical health of a step, or of a member of a committee."""
    for check, found in (holder.get("health") or {}).items():
        value = " ".join((_number(found["value"]), found["unit"].replace("angstrom", "Å")))
        verdict = "sound" if found["sound"] else _DOUBTFUL
        yield _words(check), verdict, value, _number(found["limit"]), whose


def _domains(run: FinishedRun) -> list[str]:
    """Return what each model looked for in its structure, and a table of what it found."""
    parts, rows = [], []
    for record in run.records.values():
        domain = record.get("domain") or {}
        asked = {str(record["calculator"].get("name", "unknown")): domain, **(domain.get("others") or {})}
        for model, found in asked.items():
            rows += [
                (model, each["kind"], _atoms(each["atoms"]), each["message"]) for each in found.get("findings", ())
            ]
            if found.get("checked") and not found["findings"]:
                text = f"{model} looked for {', '.join(found['checked'])}: the structure is inside its domain."
                parts.append(paragraph(text, kind="good"))
    if rows:
        parts.append(table(rows, head=("outside of the domain of", "finding", "atoms", "message")))
    return list(dict.fromkeys(parts))


def _atoms(indices: Sequence[int]) -> str:
    more = len(indices) - _MOST_ATOMS
    return " ".join(map(str, indices[:_MOST_ATOMS])) + (f" and {more} more" if more > 0 else "")


def _number(value: float | str | None) -> str:
    return f"{value:.2g}" if isinstance(value, float) else "unknown" if value is None else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")

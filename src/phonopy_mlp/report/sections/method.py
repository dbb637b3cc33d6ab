"""What was done, and with what; what to cite."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from phonopy_mlp.report.citations import cited
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import code, details, facts, link, nested, paragraph
from phonopy_mlp.report.section import Section


def make(run: FinishedRun) -> Section:
    """Return commands, versions, digests, settings, and citations."""
    parts = [_describe(name, record) for name, record in run.records.items()]
    entries = cited(run)
    parts.append("<h3>Please cite</h3>")
    for said in dict.fromkeys(_citation(record) for record in run.records.values()):
        if said:
            parts.append(paragraph(f"The model: {said}"))
    items = "".join(f"<li>{link(f'https://doi.org/{entry.doi}', entry.text)}</li>" for entry in entries)
    parts.append(f"<ul>{items}</ul>")
    parts.append(details("BibTeX", code("\n\n".join(entry.bibtex() for entry in entries), name="bibtex")))
    model = run.main.get("calculator") or {}
    return Section(
        "method",
        "Provenance and citations",
        "".join(parts),
        facts=(("Model", str(model.get("name", "unknown"))),),
    )


def _describe(name: str, record: Mapping[str, Any]) -> str:
    calculator, given = record.get("calculator") or {}, record.get("input") or {}
    seconds = {step: entry.get("seconds") for step, entry in (record.get("steps") or {}).items()}
    shown = facts(
        [
            ("Command", shlex.join(map(str, record.get("command") or ()))),
            ("Started (UTC)", record.get("started")),
            ("Input", given.get("file")),
            ("Input's digest", given.get("file_digest")),
            ("Structure's digest", given.get("structure_digest")),
            ("Model", calculator.get("title") or calculator.get("name")),
            ("Model's digest", calculator.get("digest")),
            ("Level of theory", calculator.get("level_of_theory")),
            ("Dispersion", calculator.get("dispersion")),
            ("Licence of the model", calculator.get("licence")),
            ("Precision, device", [calculator.get("dtype"), calculator.get("device")]),
            (
                "Time (s)",
                ", ".join(
                    f"{step.replace('_', ' ')} {spent:g}" for step, spent in seconds.items() if spent is not None
                ),
            ),
        ]
    )
    folded = (
        details("Versions", nested(record.get("versions") or {}))
        + details("Settings", nested(record.get("settings") or {}))
        + details("All that the model says of itself", nested(calculator))
    )
    return f"<h3>{paragraph(name)[3:-4]}</h3>{shown}{folded}"


def _citation(record: Mapping[str, Any]) -> str:
    return str((record.get("calculator") or {}).get("citation") or "")

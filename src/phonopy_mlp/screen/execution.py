"""Doing a task: the step's own command in the task's own folder, and what is kept of it."""

from __future__ import annotations

import io
import json
import os
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from signal import Signals

from phonopy_mlp.errors import OutputError
from phonopy_mlp.files import alone, check_folder, explain, replacing
from phonopy_mlp.inputs import file_digest
from phonopy_mlp.output import FORCE_CONSTANTS_FILE, PARAMS_FILE
from phonopy_mlp.provenance import plain, read_record
from phonopy_mlp.screen.task import Outcome, Task, check_outcome
from phonopy_mlp.screen.values import find_values

LOG, LOCK = "log.txt", "task"

LARGE_FILES = (FORCE_CONSTANTS_FILE, PARAMS_FILE, "total_dos.dat", "thermal_properties.yaml", "stabilised.yaml")
"""Of which the database has the digest."""


def execute(task: Task) -> Outcome:
    """Do a task, or return what came of it before; what another process is at is waited for.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full. That is no answer: there is none until the task is done again.

    """
    from phonopy_mlp.cli.main import main

    folder = Path(task.folder)
    check_folder(folder)
    with alone(folder, LOCK, patient=True):
        if (before := read_outcome(task)) is not None:
            return before
        started, said = time.perf_counter(), io.StringIO()
        with chdir(folder), redirect_stdout(said), redirect_stderr(said):
            status = main([*task.words, _shorten(task.structure, folder)], passing=(OutputError,))
        seconds = time.perf_counter() - started
        if status < 0:
            reason = f"phonopy was killed ({name_signal(-status)})"
            return Outcome("lost", task.question, reason=reason, seconds=seconds)
        outcome = conclude(task, status, said.getvalue(), seconds)
        write_outcome(task, outcome)
        return outcome


def conclude(task: Task, status: int, said: str, seconds: float) -> Outcome:
    """Read what a command has left in its folder, and keep what it said."""
    folder = Path(task.folder)
    with replacing(folder / LOG) as log:
        log.write_text(said, encoding="utf-8")
    if status != 0:
        return Outcome("failed", task.question, reason=_last_line(said) or f"status {status}", seconds=seconds)
    record = read_record(folder / task.record)
    structure = folder / task.result if task.result else None
    return Outcome(
        "done",
        task.question,
        seconds=seconds,
        structure="" if structure is None else str(structure),
        values=find_values(task.step, record, folder),
        record=record,
        files={name: file_digest(folder / name) for name in LARGE_FILES if (folder / name).is_file()},
    )


def read_outcome(task: Task) -> Outcome | None:
    """Return what came of a task, or None where it was not done or something else was."""
    try:
        content = json.loads(task.path.read_text(encoding="utf-8"))
        outcome = Outcome(**content)
        check_outcome(outcome)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    if outcome.question != task.question:
        return None
    # The folder may have been moved since.
    return replace(outcome, structure=str(Path(task.folder) / task.result)) if outcome.structure else outcome


def forget_outcome(task: Task) -> None:
    """Have a task done again.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    try:
        task.path.unlink(missing_ok=True)
    except OSError as error:
        raise explain(error, f"'{task.path}'") from error


def write_outcome(task: Task, outcome: Outcome) -> None:
    """Keep what came of a task.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full.
    """
    with replacing(task.path) as path:
        path.write_text(json.dumps(plain(asdict(outcome)), indent=1), encoding="utf-8")


def _shorten(structure: str, folder: Path) -> str:
    """Return a path as seen from a folder, which stays the same where both are moved."""
    try:
        return os.path.relpath(structure, folder)
    except ValueError:  # on another drive
        return structure


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1].removeprefix("phonopy-mlp: error: ") if lines else ""


def name_signal(number: int) -> str:
    """Return a signal's name."""
    return Signals(number).name if number in set(Signals) else f"signal {number}"

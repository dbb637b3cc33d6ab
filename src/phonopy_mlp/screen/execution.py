"""Doing a task: the step's own command in the task's own folder, and what is kept of it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from signal import Signals

from phonopy_mlp.errors import CalculatorError, OutputError
from phonopy_mlp.files import alone, check_folder, explain, file_digest, replacing
from phonopy_mlp.output import FORCE_CONSTANTS_FILE, PARAMS_FILE
from phonopy_mlp.provenance import plain, read_record
from phonopy_mlp.screen.stamps import find_changed
from phonopy_mlp.screen.task import Outcome, Task, check_outcome, digest_plain, tell_calculator
from phonopy_mlp.screen.values import find_values

LOG, LOCK = "log.txt", "task"

_PATIENCE = 30.0  # s, for a worker whose driver was killed, which ends by itself
_LACK_OF_MEMORY = re.compile(
    r"\b(MemoryError|OutOfMemoryError|CUDA(?: error:)? out of memory|CU\w+_STATUS_ALLOC_FAILED)\b"
)

LARGE_FILES = (FORCE_CONSTANTS_FILE, PARAMS_FILE, "total_dos.dat", "thermal_properties.yaml", "stabilised.yaml")
"""Of which the database has the digest."""

QUESTION_FILE = "question.txt"
"""There before all others, and of the same question as they: what an interrupted task has left is not another's."""


def execute(task: Task) -> Outcome:
    """Do a task, or return what came of it before.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full, or another process is at work in it and does not end. That is no
        answer: there is none until the task is done again.
    MemoryError
        There was too little memory, of this machine or of its GPU.
    CalculatorError
        The calculator could not be made, or failed. It may be the structure, or what has become of the process.

    """
    from phonopy_mlp.cli.main import main

    folder = Path(task.folder)
    check_folder(folder)
    with alone(folder, LOCK, patience=_PATIENCE):
        if (before := read_outcome(task)) is not None:
            return before
        if task.path.exists() or _read_question(folder) != task.question:
            _clear(folder)
            with replacing(folder / QUESTION_FILE) as path:
                path.write_text(task.question, encoding="utf-8")
        if (changed := find_changed(task.stamps)) is not None:
            return _tell_changed(task, changed)
        started, said = time.perf_counter(), io.StringIO()
        try:
            with chdir(folder), redirect_stdout(said), redirect_stderr(said):
                words = [*task.words, _shorten(task.structure, folder)]
                status = main(words, passing=(OutputError, CalculatorError))
        except CalculatorError as error:
            _write_log(folder, f"{said.getvalue()}{error}\n")
            if _LACK_OF_MEMORY.search(str(error)):
                raise MemoryError(str(error)) from error
            raise
        seconds = time.perf_counter() - started
        if status < 0:
            reason = f"phonopy was killed ({name_signal(-status)})"
            return Outcome("lost", task.question, reason=reason, seconds=seconds)
        if (changed := find_changed(task.stamps)) is not None:
            return _tell_changed(task, changed)
        if status != 0 and _LACK_OF_MEMORY.search(reason := _last_line(said.getvalue())):
            raise MemoryError(reason)
        outcome = conclude(task, status, said.getvalue(), seconds)
        if outcome.state != "lost":
            write_outcome(task, outcome)
        return outcome


def conclude(task: Task, status: int, said: str, seconds: float) -> Outcome:
    """Read what a command has left in its folder, and keep what it said."""
    folder = Path(task.folder)
    _write_log(folder, said)
    if status != 0:
        return Outcome("failed", task.question, reason=_last_line(said) or f"status {status}", seconds=seconds)
    record = read_record(folder / task.record)
    if task.calculator and digest_plain(tell_calculator(record["calculator"])) != task.calculator:
        name = record["calculator"].get("name")
        return Outcome("lost", task.question, reason=f"calculator '{name}' is not what it was when the screening began")
    structure = folder / task.result if task.result else None
    files = [name for name in (task.result, *LARGE_FILES) if name]
    return Outcome(
        "done",
        task.question,
        seconds=seconds,
        structure="" if structure is None else str(structure),
        values=find_values(task.step, record, folder),
        record=record,
        files={name: file_digest(folder / name) for name in files if (folder / name).is_file()},
    )


def _write_log(folder: Path, said: str) -> None:
    with replacing(folder / LOG) as log:
        log.write_text(said, encoding="utf-8")


def _tell_changed(task: Task, path: str) -> Outcome:
    return Outcome("lost", task.question, reason=f"'{path}' has changed since the screening began")


def _read_question(folder: Path) -> str | None:
    """Return what the files in a folder answer, or will; None where that is not known."""
    try:
        return (folder / QUESTION_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _clear(folder: Path) -> None:
    """Remove what answers another question, so that it is not taken for a part of the answer to this one."""
    try:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (f"{LOCK}.lock", QUESTION_FILE):
                path.unlink()
    except OSError as error:
        raise explain(error, f"'{folder}'") from error


def read_outcome(task: Task) -> Outcome | None:
    """Return what came of a task.

    None where it was not done, something else was, its structure was damaged, or another file is gone; to look through
    all force constants at each start would take too long.
    """
    try:
        content = json.loads(task.path.read_text(encoding="utf-8"))
        outcome = Outcome(**content)
        check_outcome(outcome)
        result = Path(task.folder) / task.result
        if outcome.structure and outcome.files.get(task.result) != file_digest(result):
            return None
        if not all((Path(task.folder) / name).is_file() for name in outcome.files):
            return None
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    if outcome.question != task.question:
        return None
    # The folder may have been moved since.
    return replace(outcome, structure=str(result)) if outcome.structure else outcome


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

"""How far a screening is: on its own terminal, and in a file for others."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from phonopy_mlp.errors import OutputError, SettingsError
from phonopy_mlp.files import replacing
from phonopy_mlp.screen.task import State, Task

STATUS_FILE = "status.json"

_EVERY = 2.0  # s
_SILENT = 30.0  # s, after which a screening that says nothing is over
_MOST = 10**12
_SHOWN, _LISTED = 3, 20  # tasks, in a line that changes and in one that stays


class Progress:
    """Shows how many structures are finished, and keeps it in a file.

    Parameters
    ----------
    total : int
        Number of structures.
    path : Path
        Of the file.
    """

    def __init__(self, total: int, path: Path) -> None:
        self._total, self._path = total, path
        self._states: Counter[State] = Counter()
        self._started = self._written = time.time()
        self._computed = 0
        self._bar = tqdm(total=total, desc="Screening", disable=None)
        self._write([], [])

    def finish(self, state: State, *, computed: bool) -> None:
        """Count a structure; one that was finished before tells nothing of how long others take."""
        self._states[state] += 1
        self._computed += computed
        self._bar.update()

    def show(self, begun: Sequence[Task], waiting: Sequence[Task]) -> None:
        """Show what is going on, and what waits for a worker, as far as it is known."""
        if time.time() - self._written > _EVERY:
            self._bar.set_postfix_str(_describe(self._states, [*begun, *waiting]))
            self._write(begun, waiting)

    def close(self) -> None:
        """Say that nothing is going on any more."""
        self._write([], [], ended=True)
        self._bar.close()

    def _write(self, begun: Sequence[Task], waiting: Sequence[Task], *, ended: bool = False) -> None:
        self._written = time.time()
        left = self._total - self._states.total()
        seconds = self._written - self._started
        status = {
            "process": os.getpid(),
            "started": _stamp(self._started),
            "updated": _stamp(self._written),
            "ended": ended,
            "total": self._total,
            **{state: self._states[state] for state in ("done", "failed", "lost")},
            "running": [f"{task.name} {task.step}" for task in begun],
            "handed_over": [f"{task.name} {task.step}" for task in waiting],
            "seconds_left": round(left * seconds / self._computed) if self._computed else None,
        }
        # A full disk does not keep the tasks from going on elsewhere.
        with suppress(OutputError), replacing(self._path) as path:
            path.write_text(json.dumps(status, indent=1), encoding="utf-8")


def read_status(path: Path) -> Mapping[str, Any]:
    """Return what a screening last said of itself.

    Raises
    ------
    SettingsError
        There is none, or its file cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        _check(found)
        return {**found, "age": (datetime.now(UTC) - datetime.fromisoformat(found["updated"])).total_seconds()}
    except FileNotFoundError as error:
        raise SettingsError(f"'{path}' was not found", "no screening was started here", "Check --db") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SettingsError(f"'{path}' cannot be read", str(error), "Start the screening again") from error


def _check(status: Mapping[str, Any]) -> None:
    """Raise an error where a file is not what `Progress` writes."""
    numbers = [status[name] for name in ("total", "done", "failed", "lost")]
    if status["seconds_left"] is not None:
        numbers.append(status["seconds_left"])
    if not all(isinstance(number, int) and number < _MOST for number in numbers):
        raise TypeError("it has something else where a number should be")
    for tasks in (status["running"], status["handed_over"]):
        if not (isinstance(tasks, list) and all(isinstance(name, str) for name in tasks)):
            raise TypeError("its tasks are no list of names")
    if not isinstance(status["ended"], bool):
        raise TypeError("it does not say whether it has ended")


def describe_status(status: Mapping[str, Any]) -> str:
    """Return a screening's own word of how far it is, as lines."""
    finished = sum(status[state] for state in ("done", "failed", "lost"))
    lines = [
        f"{finished} of {status['total']} structures: {status['done']} done, {status['failed']} failed, "
        f"{status['lost']} lost",
    ]
    if not status["ended"] and status["age"] < _SILENT:
        for word, tasks in (("running", status["running"]), ("handed over", status["handed_over"])):
            if tasks:
                lines.append(f"{word}: {_shorten(tasks, _LISTED)}")
        if status["seconds_left"] is not None:
            lines.append(f"some {_duration(status['seconds_left'])} left")
    elif finished < status["total"]:
        lines.append(f"not running: nothing was heard for {_duration(status['age'])}; the same command goes on")
    return "\n".join(lines)


def _describe(states: Mapping[State, int], tasks: Sequence[Task]) -> str:
    bad = ", ".join(f"{states[state]} {state}" for state in ("failed", "lost") if states.get(state))
    return "; ".join(filter(None, [bad, _shorten([f"{task.name} {task.step}" for task in tasks], _SHOWN)]))


def _shorten(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")

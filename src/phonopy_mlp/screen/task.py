"""What goes to a worker, what it may take, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.provenance import plain
from phonopy_mlp.screen.stamps import Stamp

State = Literal["done", "failed", "lost"]
"""``failed`` is the answer of the step itself or of what it did to its process; ``lost`` is no answer at all, as from
a worker that was killed, and is asked for again."""

Value = float | int | str | bool

OUTCOME_FILE = "task.json"

_CIRCUMSTANCES = ("versions", "device", "accelerated")
"""What a calculator says of where it computes."""


@dataclass(frozen=True, slots=True)
class Task:
    """One step on one structure.

    Attributes
    ----------
    name : str
        Of the structure.
    step : str
        Of `plan.STEPS`.
    structure : str
        File that the step starts from.
    folder : str
        That the step works in; made where there is none.
    words : tuple of str
        Its command line, from the command on.
    question : str
        Digest of all that decides the result.
    record : str
        Name of its provenance file.
    result : str
        Name of the file of the structure that it ends with; empty where that is the one it starts from.
    stamps : tuple of Stamp
        Of what was given to the screening, and must be what its digests are of.
    calculator : str
        Digest of what the calculator says of itself, which its name may not stand for any more when the task is done;
        empty where it was not asked.
    """

    name: str
    step: str
    structure: str
    folder: str
    words: tuple[str, ...]
    question: str
    record: str
    result: str
    stamps: tuple[Stamp, ...] = ()
    calculator: str = ""

    @property
    def path(self) -> Path:
        """Of the file that keeps the outcome."""
        return Path(self.folder) / OUTCOME_FILE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.

    Attributes
    ----------
    state : str
    question : str
        Of the task.
    reason : str
        Why it is not done.
    seconds : float
        That it took.
    structure : str
        File of the structure that it ended with; empty where that is the one it started from.
    values : mapping
        Numbers, words and flags for the database.
    record : mapping
        Of the run, as in its provenance file.
    files : mapping of str to str
        Digests of its files that others build upon, or are large, by their names in the task's folder.
    deadly : bool
        Whether it took all memory, as far as is known: a process that was killed may have, too.
    """

    state: State
    question: str
    reason: str = ""
    seconds: float = 0.0
    structure: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    deadly: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a task may take.

    Attributes
    ----------
    seconds : float or None
    gibibytes : float or None
        Of memory, with the processes that it starts.

    Raises
    ------
    SettingsError
        One is not above zero.
    """

    seconds: float | None = None
    gibibytes: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("Time", self.seconds), ("Memory", self.gibibytes)):
            if value is not None and not value > 0:
                raise SettingsError(f"{name} limit of {value:g}", "nothing can be done in that", "Give more, or none")


def digest_plain(content: Any) -> str:
    """Return a digest of nested data."""
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


def tell_calculator(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a calculator says of itself that decides results, as plain data."""
    return {key: plain(value) for key, value in description.items() if key not in _CIRCUMSTANCES}


def check_outcome(outcome: Outcome) -> None:
    """Raise a TypeError where an outcome was read that was never written."""
    tables = (outcome.values, outcome.record, outcome.files)
    words = (outcome.question, outcome.reason, outcome.structure)
    if (
        outcome.state not in get_args(State)
        or not isinstance(outcome.seconds, int | float)
        or not isinstance(outcome.deadly, bool)
        or not all(isinstance(table, Mapping) for table in tables)
        or not all(isinstance(value, get_args(Value)) for value in outcome.values.values())
        or not all(isinstance(word, str) for word in words)
    ):
        raise TypeError("it is no outcome of a task")

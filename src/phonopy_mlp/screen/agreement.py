"""What makes a screening one: a folder and a database that belong together, and one way to make the results of a step.

Both know who they are, so that no two screenings write into one database, and what decides the results of each step.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import replacing
from phonopy_mlp.provenance import plain
from phonopy_mlp.screen.entries import AGREEMENT_FILE, TASKS
from phonopy_mlp.screen.store import Store
from phonopy_mlp.screen.task import OUTCOME_FILE


@dataclass(frozen=True, slots=True)
class Agreement:
    """What folder and database have in common.

    Attributes
    ----------
    identity : str
        Of the screening.
    steps : mapping
        What decides the results of each step.
    """

    identity: str
    steps: Mapping[str, Mapping[str, Any]]


def agree(store: Store, folder: Path, questions: Mapping[str, Any]) -> None:
    """Make a folder and a database remember what decides the results of each step, which must be what it was.

    Parameters
    ----------
    store : Store
    folder : Path
        Of the screening, which nobody else works in.
    questions : mapping
        As of `plan.Plan.questions`.

    Raises
    ------
    SettingsError
        Folder and database are of two screenings, the results of a step were made otherwise, or a step that has results
        is missing, which would go. Nothing was changed.
    OutputError
        One of them cannot be written.
    """
    ours, theirs = _read_folder(folder), _read_store(store)
    if theirs is not None and (ours is None or ours.identity != theirs.identity):
        raise SettingsError(
            f"'{store.where}' has the results of another folder than '{folder}'",
            "two screenings in one database would be mixed",
            "Give --folder the one that it was begun in, or another database",
        )
    asked = plain(questions)
    begun = {} if ours is None else {step: own for step, own in ours.steps.items() if _has_results(folder, step)}
    _compare(begun, asked, folder)
    identity = uuid.uuid4().hex if ours is None else ours.identity
    now = {"identity": identity, "steps": {**begun, **asked}}
    with replacing(folder / AGREEMENT_FILE) as path:
        path.write_text(json.dumps(now, indent=1), encoding="utf-8")
    store.agreement = now


def _has_results(folder: Path, step: str) -> bool:
    return any((folder / TASKS).glob(f"*/{step}/{OUTCOME_FILE}"))


def _compare(before: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    if missing := [step for step in before if step not in asked]:
        raise SettingsError(
            f"'{folder}' has results of {', '.join(missing)}, too",
            "they would not be in the database any more",
            "Name these steps as well, which are not done again, or give another database",
        )
    for step, question in before.items():
        if asked[step] != question:
            keys = dict.fromkeys([*question, *asked[step]])
            apart = [key for key in keys if question.get(key) != asked[step].get(key)]
            raise SettingsError(
                f"'{folder}' has results of '{step}' that were made otherwise",
                "; ".join(f"{key}: {_find_difference(question.get(key), asked[step].get(key))}" for key in apart),
                "Give the same options, or another database",
            )


def _read_folder(folder: Path) -> Agreement | None:
    path = folder / AGREEMENT_FILE
    try:
        return _read(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise SettingsError(
            f"'{path}' cannot be read", f"{type(error).__name__}: {error}", "Begin with another database"
        ) from error


def _read_store(store: Store) -> Agreement | None:
    content = store.agreement
    try:
        return None if content is None else _read(content)
    except (TypeError, KeyError) as error:
        raise SettingsError(
            f"Database '{store.where}' cannot be read", f"{type(error).__name__}: {error}", "Give another one"
        ) from error


def _read(content: Any) -> Agreement:
    if not isinstance(content, Mapping):
        raise TypeError("it is no table")
    found = Agreement(content["identity"], content["steps"])
    if not (
        isinstance(found.identity, str)
        and isinstance(found.steps, Mapping)
        and all(isinstance(each, Mapping) for each in found.steps.values())
    ):
        raise TypeError("it is not what a screening writes")
    return found


def _find_difference(before: Any, now: Any) -> str:
    """Say where two nested values differ, in a few words."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        apart = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return ", ".join(f"{key} {before.get(key)!r}, now {now.get(key)!r}" for key in apart)
    return f"{before!r}, now {now!r}"

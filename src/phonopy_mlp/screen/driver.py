"""Which task when: structures one after the other, the steps of each in order, as many at a time as there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from phonopy_mlp.screen.entries import Entry
from phonopy_mlp.screen.execution import forget_outcome, read_outcome
from phonopy_mlp.screen.executors import Place
from phonopy_mlp.screen.plan import Plan
from phonopy_mlp.screen.store import Result
from phonopy_mlp.screen.task import Outcome, Task

REFRESH = 1.0
"""Seconds between two looks at what is going on, where nothing happens."""


class Finish(Protocol):
    """Is given what is known of a structure, before and after its steps, and whether anything of that was done now."""

    def __call__(self, result: Result, *, computed: bool) -> None:
        """Take it."""


@dataclass(slots=True)
class _Running:
    result: Result
    task: Task


def screen(
    entries: Iterable[Entry],
    plan: Plan,
    folder: Path,
    place: Place,
    *,
    finish: Finish,
    show: Callable[[Sequence[Task], Sequence[Task]], None],
    retry_failed: bool = False,
) -> None:
    """Do all that is missing.

    Parameters
    ----------
    entries : iterable of Entry
    plan : Plan
    folder : Path
        Of the tasks' folders.
    place : Place
        Where they are done.
    finish : Finish
    show : callable
        Is given what is going on, from time to time: tasks that have begun, and those that were only handed over,
        as all are that an engine says nothing of.
    retry_failed : bool, optional
        Do again what has failed.
    """
    waiting = iter(entries)
    running: dict[Future[Outcome], _Running] = {}

    def go_on(result: Result, *, computed: bool) -> None:
        """Hand over what is next to do for a structure."""
        task = _find_next(result, plan, folder, retry_failed)
        finish(result, computed=computed)
        if task is None:
            return
        try:
            future = place.submit(task)
        except Exception as error:  # of any engine
            future = Future()
            future.set_exception(error)
        running[future] = _Running(result, task)

    exhausted = False
    while running or not exhausted:
        while len(running) < place.ahead and not exhausted:
            entry = next(waiting, None)
            if entry is None:
                exhausted = True
            else:
                go_on(Result(entry), computed=False)
            show(*_divide(running))
        done, _ = wait(running, timeout=REFRESH, return_when=FIRST_COMPLETED)
        for future in done:
            now = running.pop(future)
            now.result.steps[now.task.step] = _take(future, now.task)
            go_on(now.result, computed=True)
        show(*_divide(running))


def _divide(running: Mapping[Future[Outcome], _Running]) -> tuple[list[Task], list[Task]]:
    begun = {future for future in running if future.running()}
    return (
        [each.task for future, each in running.items() if future in begun],
        [each.task for future, each in running.items() if future not in begun],
    )


def _find_next(result: Result, plan: Plan, folder: Path, retry_failed: bool) -> Task | None:
    """Read what was done of a structure before, and return what comes next, if anything does."""
    for step in plan.steps[len(result.steps) :]:
        if result.state != "done":
            return None
        task = plan.task(result.entry, step, result.structure, folder, made=result.digest)
        before = read_outcome(task)
        if before is None:
            return task
        if retry_failed and before.state == "failed":
            forget_outcome(task)
            return task
        result.steps[step] = before
    return None


def _take(future: Future[Outcome], task: Task) -> Outcome:
    """Return what came of a task; an engine that lost it says so by an error of its own."""
    try:
        return future.result()
    except Exception as error:  # of any engine
        return Outcome("lost", task.question, reason=f"{type(error).__name__}: {error}")

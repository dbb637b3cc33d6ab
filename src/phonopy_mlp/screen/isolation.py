"""A process of its own for what may crash, hang, or take all memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from phonopy_mlp.errors import CalculatorError, PhonopyMlpError
from phonopy_mlp.files import alone, check_folder
from phonopy_mlp.registry import describe, get_calculator
from phonopy_mlp.screen import child
from phonopy_mlp.screen.endings import KILLED, EndedQuietlyError, explain, is_lack_of_memory, is_of_its_process
from phonopy_mlp.screen.execution import LOCK, read_outcome, write_outcome
from phonopy_mlp.screen.task import Limits, Outcome, Task

if TYPE_CHECKING:
    from pebble import ProcessPool

_Result = TypeVar("_Result")

_WATCH = 0.5  # s
_GRACE = 5.0  # s, in which what a process has sent arrives after its end
_IDLE = 120.0  # s, after which a process that nobody has a task for ends, for its calculator takes memory


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process that a thread keeps for its tasks, with the calculator that it has loaded.

    Attributes
    ----------
    pool : ProcessPool
        Of this process alone.
    identity : Future of int
        Its number, once it has begun.
    limits : Limits
        Of its tasks.
    """

    pool: ProcessPool
    identity: Future[int]
    limits: Limits


def run_isolated(task: Task, limits: Limits, environment: Mapping[str, str]) -> Outcome:
    """Do a task in a process that this thread keeps for its tasks, and say what became of it.

    Never raises for what a task does: a crash, a time limit, too much memory are outcomes, and so is a full disk.

    Parameters
    ----------
    task : Task
    limits : Limits
    environment : mapping of str to str
        Variables of the process.
    """
    key = threading.get_ident()
    with _clock:
        if (timer := _timers.pop(key, None)) is not None:
            timer.cancel()
    try:
        return _run(task, limits, environment, key)
    finally:
        if key in _workers:
            timer = _timers[key] = threading.Timer(_IDLE, _expire, (key,))
            timer.daemon = True
            timer.start()


def _run(task: Task, limits: Limits, environment: Mapping[str, str], key: int) -> Outcome:
    started = time.perf_counter()
    if _ended.is_set():
        return _tell_ended(task)
    worker = _workers.get(key)
    fresh = worker is None or not worker.pool.active or worker.limits != limits
    try:
        if worker is None or fresh:
            _stop(key)
            worker = _start_worker(limits, environment)
        process = _wait(worker.identity)
    except Exception as error:
        _stop(key)
        return Outcome("lost", task.question, reason=f"no process could be started for it: {type(error).__name__}")
    try:
        return _do(task, worker, process, limits)
    except Exception as error:
        if _ended.is_set() or _workers.get(key) is not worker:
            _stop(key)
            return _tell_ended(task)
        # Who knows in what state it is, if it still is.
        _stop(key)
        if is_of_its_process(error) and not fresh:
            return _run(task, limits, environment, key)
        state, reason = explain(error, limits)
        deadly = is_lack_of_memory(error) or getattr(error, "exitcode", None) == KILLED
    outcome = Outcome(state, task.question, reason=reason, seconds=time.perf_counter() - started, deadly=deadly)
    return _keep(task, outcome)


def _tell_ended(task: Task) -> Outcome:
    return Outcome("lost", task.question, reason="its process was ended with the screening")


def _keep(task: Task, outcome: Outcome) -> Outcome:
    """Write what became of a task whose process did not, unless there is an answer, or another process seeks one."""
    folder = Path(task.folder)
    try:
        check_folder(folder)
        with alone(folder, LOCK):
            if (before := read_outcome(task)) is not None:
                return before
            if outcome.state == "failed":
                write_outcome(task, outcome)
    except PhonopyMlpError as error:
        return replace(outcome, state="lost", reason=f"{outcome.reason}; {error}")
    return outcome


def describe_calculator(name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a calculator says of itself, having loaded it in a process that ends with that.

    Raises
    ------
    CalculatorError
        It cannot be made, or the process died.
    """
    from pebble import ProcessExpired, ProcessPool

    pool = ProcessPool(max_workers=1, context=get_context("spawn"), initializer=child.keep_bars_apart)
    try:
        process = pool.schedule(os.getpid).result()
        found: Mapping[str, Any] = _wait(pool.schedule(_describe, (name, dict(settings))), process)
    except (ProcessExpired, EndedQuietlyError) as error:
        status = getattr(error, "exitcode", 0)
        raise CalculatorError(
            f"Calculator '{name}' could not be made", f"its process ended with {status}", "Try it alone"
        ) from error
    finally:
        _end(pool)
    return found


def _describe(name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return describe(get_calculator(name, **settings))


def _do(task: Task, worker: _Worker, process: int, limits: Limits) -> Outcome:
    try:
        future: Future[Outcome] = worker.pool.schedule(child.do, (task,), timeout=limits.seconds)
    except RuntimeError as error:
        raise BrokenProcessPool(str(error)) from error
    return _wait(future, process)


def _wait(future: Future[_Result], process: int | None = None) -> _Result:
    """Wait for what `processes` may cancel, as long as the process that does it is there."""
    import psutil

    _running.add(future)
    try:
        # Where its pool has ended before it took notice, nobody says that a cancelled one is done.
        while not (future.cancelled() or wait([future], timeout=_WATCH).done):
            # Nobody else takes notice of one that ends with status 0; what it has sent before may be on its way.
            gone = process is not None and not psutil.pid_exists(process)
            if gone and not wait([future], timeout=_GRACE).done:
                raise EndedQuietlyError
        return future.result()
    finally:
        _running.discard(future)


_ended = threading.Event()
"""That no process is to be started any more."""

_workers: dict[int, _Worker] = {}
"""By the threads that keep them."""

_timers: dict[int, threading.Timer] = {}
"""The same, of those that are idle."""

_clock = threading.Lock()
"""Of a timer: it is stopped or has stopped a process, and not both."""

_running: set[Future[Any]] = set()


def _start_worker(limits: Limits, environment: Mapping[str, str]) -> _Worker:
    """Start a process for the tasks of this thread."""
    from pebble import ProcessPool

    _end_with_this_process()
    pool = ProcessPool(
        max_workers=1,
        initializer=child.begin,
        initargs=(os.getpid(), limits.gibibytes, dict(environment)),
        context=get_context("spawn"),
    )
    worker = _workers[threading.get_ident()] = _Worker(pool, pool.schedule(os.getpid), limits)
    return worker


@cache
def _end_with_this_process() -> None:
    """Have processes for tasks end before this one, of somebody's pool perhaps, waits at its own end for theirs."""
    Finalize(None, _stop_all, exitpriority=1)


def _expire(key: int) -> None:
    """End a process that has been idle for long."""
    with _clock:
        if _timers.get(key) is threading.current_thread():
            del _timers[key]
            _stop(key)


def _stop(key: int) -> None:
    worker = _workers.pop(key, None)
    if worker is not None:
        _end(worker.pool)


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]  # pebble's method has no annotations
    pool.join()


@contextmanager
def processes() -> Iterator[None]:
    """Have processes for tasks, and end them, and what they are at, with a block."""
    _ended.clear()
    try:
        yield
    finally:
        _ended.set()
        _stop_all()


def _stop_all() -> None:
    for future in list(_running):
        future.cancel()
    for key in list(_workers):
        _stop(key)

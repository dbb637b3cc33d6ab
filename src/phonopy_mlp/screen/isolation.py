"""A process of its own for what may crash, hang, or take all memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from signal import Signals
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from phonopy_mlp.errors import CalculatorError, PhonopyMlpError
from phonopy_mlp.registry import describe, get_calculator, keep_calculators
from phonopy_mlp.screen.execution import execute, write_outcome
from phonopy_mlp.screen.task import Outcome, State, Task

if TYPE_CHECKING:
    from pebble import ProcessPool

TOO_MUCH_MEMORY = 77
"""Exit status of a process that took more than it may."""

_WATCH = 0.2  # s
_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
"""Signals that come from outside, and say nothing of the task."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a task may take.

    Attributes
    ----------
    seconds : float or None
    gibibytes : float or None
        Of memory.
    """

    seconds: float | None = None
    gibibytes: float | None = None


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
    from pebble import ProcessExpired

    started = time.perf_counter()
    state: State
    future: Future[Outcome] = _get_pool(limits, environment).schedule(execute, (task,), timeout=limits.seconds)
    _running.add(future)
    try:
        return future.result()
    except TimeoutError:
        state, reason = "failed", f"took longer than {limits.seconds:g} s"
    except ProcessExpired as error:
        state, reason = _explain(error.exitcode, limits)
    except (CancelledError, BrokenProcessPool) as error:
        # Ended from outside, or never begun.
        _pools.pop(_key(limits), None)
        state, reason = "lost", f"{type(error).__name__}: {error}".rstrip(": ")
    except MemoryError:
        state, reason = "failed", "out of memory"
    except PhonopyMlpError as error:
        # Not of the structure: those are the command's, and have a status.
        state, reason = "lost", str(error)
    except Exception as error:
        state, reason = "failed", f"{type(error).__name__}: {error}"
    finally:
        _running.discard(future)
    outcome = Outcome(state, task.question, reason=reason, seconds=time.perf_counter() - started)
    if state == "failed":
        try:
            write_outcome(task, outcome)
        except PhonopyMlpError as error:
            return Outcome("lost", task.question, reason=f"{reason}; {error}", seconds=outcome.seconds)
    return outcome


def describe_calculator(name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a calculator says of itself, having loaded it in a process that ends with that.

    Raises
    ------
    CalculatorError
        It cannot be made, or the process died.
    """
    from pebble import ProcessExpired, ProcessPool

    with ProcessPool(max_workers=1, context=get_context("spawn")) as pool:
        try:
            found: Mapping[str, Any] = pool.schedule(_describe, (name, dict(settings))).result()
        except ProcessExpired as error:
            raise CalculatorError(
                f"Calculator '{name}' could not be made", f"its process ended with {error.exitcode}", "Try it alone"
            ) from error
    return found


def _describe(name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return describe(get_calculator(name, **settings))


def _explain(status: int | None, limits: Limits) -> tuple[State, str]:
    if status == TOO_MUCH_MEMORY:
        return "failed", f"took more than {limits.gibibytes:g} GiB of memory"
    if status is None or status >= 0:
        return "failed", f"its process ended with status {status}"
    name = Signals(-status).name
    if name in _OUTSIDE:
        return "lost", f"its process was killed ({name}), by lack of memory perhaps"
    return "failed", f"its process crashed ({name})"


_pools: dict[tuple[int, Limits], ProcessPool] = {}
_running: set[Future[Outcome]] = set()


def _get_pool(limits: Limits, environment: Mapping[str, str]) -> ProcessPool:
    """Return this thread's pool of one process."""
    from pebble import ProcessPool

    key = _key(limits)
    if key not in _pools:
        _pools[key] = ProcessPool(
            max_workers=1,
            initializer=_start,
            initargs=(os.getpid(), limits.gibibytes, dict(environment)),
            context=get_context("spawn"),
        )
    return _pools[key]


def _key(limits: Limits) -> tuple[int, Limits]:
    return threading.get_ident(), limits


def stop_processes() -> None:
    """End the processes that were kept for tasks, and what they are at."""
    for future in list(_running):
        future.cancel()
    while _pools:
        _, pool = _pools.popitem()
        pool.stop()  # type: ignore[no-untyped-call]  # pebble's method has no annotations
        pool.join()


def _start(parent: int, gibibytes: float | None, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    keep_calculators()
    # A lock between processes, which it makes otherwise, outlives a process that crashes.
    tqdm.set_lock(threading.RLock())
    threading.Thread(target=_watch, args=(parent, gibibytes), daemon=True).start()


def _watch(parent: int, gibibytes: float | None) -> None:
    """End this process where it takes too much memory, or nobody waits for it any more."""
    import psutil

    own = psutil.Process()
    limit = float("inf") if gibibytes is None else gibibytes * 2**30
    while os.getppid() == parent and psutil.pid_exists(parent):
        if own.memory_info().rss > limit:
            os._exit(TOO_MUCH_MEMORY)
        time.sleep(_WATCH)
    os._exit(0)

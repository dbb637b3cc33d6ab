"""The side of the process that does tasks: how it begins, works, and ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from tqdm import tqdm

from phonopy_mlp.errors import PhonopyMlpError
from phonopy_mlp.registry import keep_calculators
from phonopy_mlp.screen.endings import TOO_MUCH_MEMORY, StepError
from phonopy_mlp.screen.execution import execute
from phonopy_mlp.screen.task import Outcome, Task

if TYPE_CHECKING:
    import psutil

_WATCH = 0.5  # s


def begin(parent: int, gibibytes: float | None, environment: Mapping[str, str]) -> None:
    """Make a new process ready for tasks, and watch it.

    Parameters
    ----------
    parent : int
        Number of the process that waits for it, with which it ends.
    gibibytes : float or None
        Memory that it may take, with all that it starts.
    environment : mapping of str to str
        Variables that it is to have.
    """
    os.environ.update(environment)
    keep_calculators()
    keep_bars_apart()
    # pebble's ends with a status as that of a task, and leaves the processes of this one behind.
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_watch, args=(parent, gibibytes), daemon=True).start()


def keep_bars_apart() -> None:
    """Keep progress bars of this process from locks among processes, which outlive one that is ended."""
    tqdm.set_lock(threading.RLock())


def do(task: Task) -> Outcome:
    """Do a task.

    Raises
    ------
    PhonopyMlpError, OSError, MemoryError
        As they are.
    StepError
        Another error, as text.
    """
    try:
        return execute(task)
    except (PhonopyMlpError, OSError, MemoryError):
        raise
    except Exception as error:  # of anybody's code
        said = f"{type(error).__name__}: {error}".rstrip(": ")
    # Out here, for some engines send what an error came from with it.
    raise StepError(said)


def _end(number: int, _frame: FrameType | None) -> None:
    import psutil

    _kill_children(psutil.Process())
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _watch(parent: int, gibibytes: float | None) -> None:
    """End this process where it takes too much memory, or nobody waits for it any more."""
    import psutil

    own, status = psutil.Process(), 0
    while os.getppid() == parent and psutil.pid_exists(parent):
        if gibibytes is not None and _measure_memory(own) > gibibytes * 2**30:
            status = TOO_MUCH_MEMORY
            break
        time.sleep(_WATCH)
    _kill_children(own)
    os._exit(status)


def _measure_memory(own: psutil.Process) -> int:
    """Return what a process and all that it has started take, in bytes."""
    import psutil

    total = 0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def _kill_children(own: psutil.Process) -> None:
    import psutil

    for process in own.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()

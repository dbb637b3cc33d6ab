"""What the end of a task's process says of the task."""

from __future__ import annotations

import re
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool

from phonopy_mlp.errors import CalculatorError, PhonopyMlpError
from phonopy_mlp.screen.execution import name_signal
from phonopy_mlp.screen.task import Limits, State

TOO_MUCH_MEMORY = 77
"""Exit status of a process that took more than it may."""

KILLED = -9
"""Exit status of a process that SIGKILL has ended; Windows does not know that name."""

_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
"""Signals that come from outside, and say nothing of the task."""


_OF_THE_MACHINE = re.compile(r"could not be made|\b(CUDA|CU\w+_STATUS)")
"""What a calculator's error says where it is no matter of the structure."""


class EndedQuietlyError(Exception):
    """A process ended as if all were well, in the middle of a task."""


class StepError(Exception):
    """An error of anybody's code, as text: its own class may not come through to another process."""


def explain(error: Exception, limits: Limits) -> tuple[State, str]:
    """Return whether a task that ended with an error failed or is lost, and why.

    Parameters
    ----------
    error : Exception
        Of the task, of its process, or of waiting for them.
    limits : Limits
        Of the task.
    """
    from pebble import ProcessExpired

    said = f"{type(error).__name__}: {error}".rstrip(": ")
    match error:
        case TimeoutError(args=("Task timeout", *_)):
            return "failed", f"took longer than {limits.seconds:g} s"
        case ProcessExpired():
            return _explain_status(error.exitcode, limits)
        case EndedQuietlyError():
            return "failed", "its process ended with status 0"
        case CancelledError() | BrokenProcessPool():
            # Ended from outside, or never begun.
            return "lost", said
        case MemoryError():
            return "failed", str(error) or "out of memory"
        case StepError():
            return "failed", str(error)
        case CalculatorError():
            return "lost" if _OF_THE_MACHINE.search(str(error)) else "failed", str(error)
        case PhonopyMlpError():
            # Not of the structure: those are the command's, and have a status.
            return "lost", str(error)
        case OSError():
            # Of the machine, or of its disks.
            return "lost", said
        case _:
            return "failed", said


def _explain_status(status: int | None, limits: Limits) -> tuple[State, str]:
    if status == TOO_MUCH_MEMORY and limits.gibibytes is not None:
        return "failed", f"took more than {limits.gibibytes:g} GiB of memory"
    if status is None or status >= 0:
        return "failed", f"its process ended with status {status}"
    name = name_signal(-status)
    if name in _OUTSIDE:
        return "lost", f"its process was killed ({name}), by lack of memory perhaps"
    return "failed", f"its process crashed ({name})"


def is_of_its_process(error: Exception) -> bool:
    """Return whether a task may have ended for what other tasks have made of its process, as a GPU's error does."""
    return isinstance(error, CalculatorError) or is_lack_of_memory(error)


def is_lack_of_memory(error: Exception) -> bool:
    """Return whether a task ended for want of memory, which other tasks of its process may have had."""
    return isinstance(error, MemoryError) or getattr(error, "exitcode", None) == TOO_MUCH_MEMORY

"""Wall-clock time, processor time and peak memory of a command, measured from outside, the same for every program."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

LOG = "log"
_INTERVAL = 0.1
_LINES = 15
_PAGE = os.sysconf("SC_PAGE_SIZE")
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class CommandFailedError(Exception):
    """A command did not end well."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took.

    Attributes
    ----------
    seconds : float
        Wall-clock time from start to end, with the start of the interpreter and the writing of files.
    cpu_seconds : float
        Processor time, user and system, of the command and the processes it started.
    peak_bytes : int
        Peak memory: the larger of the largest sum of the resident sets of its processes seen at one time, and the
        peak of the largest one as the kernel keeps it.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that give every library the same number of threads."""
    return dict.fromkeys(_THREADS, str(threads))


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Usage:
    """Run a command in a folder, its output going to the file ``log`` there, and return what it took.

    The process that calls this must be small: the kernel's peak of a new process starts at that of its parent.

    Raises
    ------
    CommandFailedError
        The exit status is not 0.
    """
    with (folder / LOG).open("wb") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        with _ended_with_us(process), _sampling(process.pid) as samples:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        lines = (folder / LOG).read_text(errors="replace").splitlines()[-_LINES:]
        raise CommandFailedError(
            f"{' '.join(command)} ended with status {process.returncode} in {folder}:\n" + "\n".join(lines)
        )
    return Usage(seconds, usage.ru_utime + usage.ru_stime, max(*samples, _kernel_peak(usage)))


def _kernel_peak(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * 1024  # Linux counts KiB


@contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the command, with all it started, where waiting for it is interrupted."""
    try:
        yield
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _sampling(session: int) -> Iterator[list[int]]:
    """Collect the resident memory of a session's processes (bytes) in the background."""
    samples, done = [0], Event()

    def sample() -> None:
        while not done.wait(_INTERVAL):
            samples.append(_resident_bytes(session))

    thread = Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def _resident_bytes(session: int) -> int:
    """Return the summed resident sets of all processes of a session; a page that several share counts for each."""
    total = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int(fields[21]) * _PAGE
        except OSError:  # it has ended
            continue
    return total

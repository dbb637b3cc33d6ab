"""Where tasks are done: on this machine, or on a cluster through an engine that speaks `concurrent.futures`."""

from __future__ import annotations

import os
import runpy
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import current_process
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.screen.isolation import processes, run_isolated
from phonopy_mlp.screen.task import Limits, Outcome, Task

_THREADS = ("MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_MANY = 100  # workers, of a cluster that does not say, or has none yet
_PATIENCE = "30s"

AHEAD = 2
"""Tasks for each worker that are handed over before one is done."""


@dataclass(frozen=True, slots=True)
class Place:
    """Workers.

    Attributes
    ----------
    submit : callable
        Hands a task over.
    ahead : int
        How many tasks may be handed over at a time.
    """

    submit: Callable[[Task], Future[Outcome]]
    ahead: int


@contextmanager
def open_executor(
    where: str | Executor, workers: int | None, limits: Limits, *, device: str = "auto"
) -> Iterator[Place]:
    """Start workers, or connect to them.

    Parameters
    ----------
    where : str or Executor
        ``local``; ``parsl:FILE``, a Python file with a Parsl ``config``; ``dask:ADDRESS`` of a scheduler, or
        ``dask:FILE``, which a scheduler has written; ``mpi``, the other processes of ``mpiexec``. Or an executor of
        one's own, with this package at its workers, which may start processes; it is not shut down.
    workers : int or None
        How many; by default one for each GPU, or for each core; of a cluster, how many it has, where it says so, or
        so many that it can be kept busy.
    limits : Limits
    device : str, optional
        Where the tasks compute; GPUs do not count if that is ``cpu``, or one of them, such as ``cuda:1``.

    Raises
    ------
    SettingsError
        There is no such executor, its engine is not installed, or its configuration cannot be used.
    """
    if workers is not None and workers < 1:
        raise SettingsError(f"{workers} workers", "one is the least", "Give a larger number")
    if isinstance(where, Executor):
        with processes():
            yield _place(where, workers, limits)
        return
    kind, _, rest = where.partition(":")
    if kind not in _OPEN or (rest == "") is not (kind in _ALONE):
        raise SettingsError(
            f"Executor '{where}'", "there are local, parsl:FILE, dask:ADDRESS and mpi", "Give one of these"
        )
    with _OPEN[kind](rest, workers, limits, device) as place:
        yield place


@contextmanager
def _open_local(_: str, workers: int | None, limits: Limits, device: str) -> Iterator[Place]:
    """Threads that keep a process each."""
    # One that is named by its number is meant alone.
    alone = ":" in device
    devices = [] if device == "cpu" or alone else _find_gpus()
    count = workers or len(devices) or (1 if alone else _count_cores())
    environments: SimpleQueue[Mapping[str, str]] = SimpleQueue()
    for k in range(count):
        environments.put({"CUDA_VISIBLE_DEVICES": devices[k % len(devices)]} if devices else {})
    own = threading.local()

    def start() -> None:
        own.environment = environments.get()

    def run(task: Task) -> Outcome:
        return run_isolated(task, limits, own.environment)

    share = max(1, _count_cores() // count)
    threads = {name: str(min(share, _read_number(name) or share)) for name in _THREADS}
    with _variables(threads), ThreadPoolExecutor(count, initializer=start) as executor, _cancelling(executor):
        yield Place(lambda task: executor.submit(run, task), AHEAD * count)


@contextmanager
def _open_parsl(file: str, workers: int | None, limits: Limits, _: str) -> Iterator[Place]:
    config = _read_parsl(file)
    # Parsl looks for its own programs there, and finds them where no environment is activated, too.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with _variables({"PATH": path}):
        engine = _import("parsl.concurrent", "parsl")
        try:
            pool: Executor = engine.ParslPoolExecutor(config)
        except Exception as error:  # of Parsl, or of what the configuration names
            raise SettingsError(
                f"Parsl configuration '{file}' cannot be used",
                f"{type(error).__name__}: {error}",
                "See Parsl's user guide",
            ) from error
        with pool, _ending(lambda: pool.shutdown(wait=False)):
            yield _place(pool, workers, limits)


def _read_parsl(file: str) -> Any:
    path = Path(file)
    if not path.is_file():
        raise SettingsError(f"Parsl configuration '{file}'", "there is no such file", "Check its name")
    config_type = _import("parsl.config", "parsl").Config
    try:
        config = runpy.run_path(str(path)).get("config")
    except Exception as error:  # of anybody's file
        raise SettingsError(
            f"Parsl configuration '{file}' fails", f"{type(error).__name__}: {error}", "Run it with Python"
        ) from error
    if not isinstance(config, config_type):
        raise SettingsError(
            f"Parsl configuration '{file}'", "it sets no 'config' of Parsl's class Config", "See Parsl's user guide"
        )
    return config


@contextmanager
def _open_dask(address: str, workers: int | None, limits: Limits, _: str) -> Iterator[Place]:
    client_type = _import("distributed", "distributed").Client
    given = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        client = client_type(**given, timeout=_PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(f"Dask scheduler '{address}'", str(error), "Start one, or check its address") from error
    with client:
        known = workers or sum(client.nthreads().values())
        if any(client.run(_is_daemon).values()):
            raise SettingsError(
                f"Dask workers of '{address}'",
                "they may not start processes, in which tasks are kept apart",
                "Start them with the variable DASK_DISTRIBUTED__WORKER__DAEMON=False",
            )
        # A task is an answer of its own, and not the value of an expression.
        pool = client.get_executor(pure=False, retries=0)
        with _ending(lambda: pool.shutdown(wait=False)):
            yield _place(pool, known, limits)


@contextmanager
def _open_mpi(_: str, workers: int | None, limits: Limits, __: str) -> Iterator[Place]:
    communicator = _import("mpi4py.MPI", "mpi4py").COMM_WORLD
    # Where mpi4py.futures was not asked to run the command, each process is a driver.
    if communicator.size == 1 or communicator.rank != 0:
        raise SettingsError(
            "MPI has no workers",
            "mpi4py.futures makes all processes but the first wait for tasks, and it was not started, or with one",
            "Start it: mpiexec -n 5 python -m mpi4py.futures -m phonopy_mlp screen ...",
        )
    pool: Executor = _import("mpi4py.futures", "mpi4py").MPIPoolExecutor()
    with pool, _cancelling(pool):
        yield _place(pool, workers or communicator.size - 1, limits)


def _is_daemon() -> bool:
    return bool(current_process().daemon)


def _place(pool: Executor, workers: int | None, limits: Limits) -> Place:
    """Return workers of a cluster, that are asked for more than they can do, so that none waits for the driver."""
    return Place(lambda task: pool.submit(run_isolated, task, limits, {}), AHEAD * (workers or _MANY))


@contextmanager
def _ending(stop: Callable[[], object]) -> Iterator[None]:
    """Leave nothing waiting, and of this machine's nothing running, where the driver ends early."""
    with processes():
        try:
            yield
        except BaseException:
            stop()
            raise


def _cancelling(pool: Executor) -> AbstractContextManager[None]:
    return _ending(lambda: pool.shutdown(wait=False, cancel_futures=True))


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _import(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingsError(f"Executor '{package}'", str(error), f"Run 'pip install {package}'") from error


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else None


def _find_gpus() -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` calls each GPU, without loading what could compute on it."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(k) for k, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


_OPEN = {"local": _open_local, "parsl": _open_parsl, "dask": _open_dask, "mpi": _open_mpi}
_ALONE = ("local", "mpi")

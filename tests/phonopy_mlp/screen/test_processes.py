"""Processes that are kept for tasks."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import psutil
import pytest
from distributions import write_distribution
from pebble import ProcessPool
from pebble.pool.process import TaskManager

from phonopy_mlp.errors import CalculatorError, SettingsError
from phonopy_mlp.screen import child, endings, isolation
from phonopy_mlp.screen.entries import Entry
from phonopy_mlp.screen.isolation import describe_calculator, processes, run_isolated
from phonopy_mlp.screen.plan import Model, make_plan
from phonopy_mlp.screen.task import Limits

from .conftest import make_metals, wait_for

LIMITS = Limits(60, 4)


@pytest.fixture
def tasks(place):
    """Relaxations of copper and aluminium."""
    make_metals(place / "cifs", "Cu", "Al")
    plan = make_plan(["relax"], {"relax": "--relax-fmax 1e-3"}, Model("moody", "cpu"))
    paths = {name: place / "cifs" / f"{name}.cif" for name in ("Cu", "Al")}
    with processes():
        yield [plan.task(Entry(name, path, ""), "relax", path, place / "r") for name, path in paths.items()]


def test_a_process_is_kept(tasks, place, monkeypatch):
    monkeypatch.setenv("MOODY_LOG", str(place / "made"))
    for task in tasks:
        assert run_isolated(task, LIMITS, {}).state == "done"
    assert len(set((place / "made").read_text().split())) == 1


def test_a_process_with_other_limits_takes_its_place(tasks):
    numbers = set()
    for task, limits in zip(tasks, (LIMITS, Limits(61, 4)), strict=True):
        assert run_isolated(task, limits, {}).state == "done"
        (worker,) = isolation._workers.values()
        numbers.add(worker.identity.result())
    assert len(numbers) == 2
    assert [psutil.pid_exists(number) for number in numbers].count(True) == 1


def test_a_process_that_is_idle_ends(tasks, monkeypatch):
    monkeypatch.setattr(isolation, "_IDLE", 0.5)
    first, second = tasks
    assert run_isolated(first, LIMITS, {}).state == "done"
    (worker,) = isolation._workers.values()
    wait_for(lambda: not psutil.pid_exists(worker.identity.result()))
    wait_for(lambda: not isolation._workers)
    assert run_isolated(second, LIMITS, {}).state == "done"


@pytest.mark.parametrize("status", [0, 3])
def test_a_calculator_that_ends_its_process_is_one_error(status, place, monkeypatch):
    code = f"import os\n\n\ndef leave(*, device, dtype):\n    os._exit({status})\n"
    points = "[phonopy_mlp.calculators]\nleaving = leaving_calculator:leave\n"
    (place / "leaving").mkdir()
    site = write_distribution(place / "leaving", "leaving_calculator", code, points)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(CalculatorError, match=f"'leaving' could not be made: its process ended with {status}"):
        describe_calculator("leaving", {"device": "cpu", "dtype": "float64"})


def test_a_process_that_was_killed_between_two_tasks_is_replaced(tasks):
    first, second = tasks
    assert run_isolated(first, LIMITS, {}).state == "done"
    (worker,) = isolation._workers.values()
    os.kill(worker.identity.result(), signal.SIGKILL)
    wait_for(lambda: not worker.pool.active)
    assert run_isolated(second, LIMITS, {}).state == "done"
    assert len(isolation._workers) == 1


def test_what_was_done_before_its_process_died_is_done(tasks, monkeypatch):
    task, _ = tasks
    assert run_isolated(task, LIMITS, {}).state == "done"

    def die(*_):
        raise TimeoutError("Task timeout", 60)

    monkeypatch.setattr(isolation, "_do", die)
    assert run_isolated(task, LIMITS, {}).state == "done"


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (TimeoutError("Task timeout", 60), "failed", "took longer than 60 s"),
        (TimeoutError(110, "no answer"), "lost", "TimeoutError: [Errno 110] no answer"),
        (OSError(116, "Stale file handle"), "lost", "Stale file handle"),
        (MemoryError(), "failed", "out of memory"),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
    ],
    ids=["limit", "network", "file system", "memory", "its own"],
)
def test_what_an_error_says_of_a_task(error, state, reason, tasks, monkeypatch):
    end_with(error, monkeypatch)
    outcome = run_isolated(tasks[0], LIMITS, {})
    assert outcome.state == state
    assert reason in outcome.reason
    assert tasks[0].path.exists() is (state == "failed")


def end_with(error, monkeypatch):
    """Have tasks end with an error, and no processes started for them."""

    def fail(*_):
        raise error

    def start(limits, environment):
        identity = Future()
        identity.set_result(os.getpid())
        worker = isolation._workers[threading.get_ident()] = isolation._Worker(ProcessPool(1), identity, limits)
        return worker

    monkeypatch.setattr(isolation, "_do", fail)
    monkeypatch.setattr(isolation, "_start_worker", start)


def test_what_another_process_works_at_is_lost_and_not_failed(tasks, monkeypatch):
    end_with(TimeoutError("Task timeout", 60), monkeypatch)
    tasks[0].path.parent.mkdir(parents=True)
    code = (
        "import sys; from pathlib import Path; from phonopy_mlp.files import alone\n"
        f"with alone(Path({tasks[0].folder!r}), 'task'): print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    outcome = run_isolated(tasks[0], LIMITS, {})
    other.communicate()
    assert (outcome.state, tasks[0].path.exists()) == ("lost", False)
    assert "took longer than 60 s; Another run is at work" in outcome.reason


def test_no_process_is_started_for_a_screening_that_ends(tasks, monkeypatch):
    isolation._ended.set()
    monkeypatch.setattr(isolation, "_start_worker", None)
    assert run_isolated(tasks[0], LIMITS, {}).reason == "its process was ended with the screening"


def test_an_error_whose_class_does_not_come_through_is_told(tasks, monkeypatch):
    class OwnError(Exception):
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")

    def fail(_):
        raise OwnError("this", "that")

    monkeypatch.setattr(child, "execute", fail)
    with pytest.raises(endings.StepError) as caught:
        child.do(tasks[0])
    error = pickle.loads(pickle.dumps(caught.value))
    assert endings.explain(error, LIMITS) == ("failed", "OwnError: this and that")


def test_a_status_that_means_memory_says_so_where_memory_is_limited():
    assert endings._explain_status(77, LIMITS) == ("failed", "took more than 4 GiB of memory")
    assert endings._explain_status(77, Limits()) == ("failed", "its process ended with status 77")


STARTS = """
import subprocess, sys, psutil
from phonopy_mlp.screen.child import _kill_children, _measure_memory

code = "import time; hoard = bytearray(b'1') * 2**28; print(flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
own = psutil.Process()
more = _measure_memory(own) - own.memory_info().rss
_kill_children(own)
print(more, child.wait(timeout=10))
"""
"""Of a process of its own: among the children of this one is what multiprocessing needs."""


@pytest.mark.parametrize("known", [True, False], ids=["cancelled", "not seen"])
def test_what_was_ended_with_its_screening_has_not_failed(known, tasks, monkeypatch):
    monkeypatch.setenv("MOODY_SECONDS", "60")
    # A pool that is ended before it sees that a task was cancelled, as happens where the machine is busy.
    monkeypatch.setattr(TaskManager, "cancelled_tasks", lambda _: ())
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(run_isolated, tasks[0], LIMITS, {})
        wait_for(tasks[0].path.parent.is_dir)
        if not known:
            isolation._running.clear()
        isolation._stop_all()
        assert found.result().state == "lost"
    assert not tasks[0].path.exists()


def test_processes_that_a_task_has_started_count_and_end_with_it():
    done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True, check=True)
    more, status = map(int, done.stdout.split())
    assert more > 2**28
    assert status == -signal.SIGKILL


def test_memory_of_other_tasks_does_not_count(tasks, monkeypatch):
    """What was too much for a process that had done others is tried in one of its own."""
    first, second = tasks
    assert run_isolated(first, LIMITS, {}).state == "done"
    do, tried = isolation._do, []

    class FullError(Exception):
        exitcode = endings.TOO_MUCH_MEMORY

    def once(task, worker, process, limits):
        tried.append(process)
        if len(tried) == 1:
            raise FullError
        return do(task, worker, process, limits)

    monkeypatch.setattr(isolation, "_do", once)
    assert run_isolated(second, LIMITS, {}).state == "done"
    assert len(set(tried)) == 2


@pytest.mark.parametrize("limits", [(0, None), (None, -1), (float("nan"), None)])
def test_limits_that_allow_nothing(limits):
    with pytest.raises(SettingsError, match="limit of"):
        Limits(*limits)


def test_a_process_ends_with_its_parent(place):
    code = (
        "import os; from phonopy_mlp.screen import isolation; from phonopy_mlp.screen.task import Limits\n"
        "if __name__ == '__main__':\n"
        "    print(isolation._start_worker(Limits(), {}).identity.result(), flush=True); os.kill(os.getpid(), 9)"
    )
    (place / "parent.py").write_text(code)
    done = subprocess.run([sys.executable, "parent.py"], capture_output=True, text=True, check=False)
    end = time.monotonic() + 30
    while psutil.pid_exists(int(done.stdout)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(done.stdout))

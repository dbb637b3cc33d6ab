"""The same screening by every engine, with several worker processes each."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from distributed import Client

from phonopy_mlp.screen.executors import Place, open_executor
from phonopy_mlp.screen.plan import Model, make_plan
from phonopy_mlp.screen.run import run_screening
from phonopy_mlp.screen.task import Limits, Outcome

from .conftest import LONG, OPTIONS, RELAX, SET_RELAX, assert_same, make_metals, read_rows, relax, wait_for

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

PARSL = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            address="127.0.0.1",
            encrypted=False,
            max_workers_per_node=2,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
    ],
    run_dir="parsl",
    initialize_logging=False,
)
"""


@pytest.fixture
def metals(place, monkeypatch):
    """Metals, of which one kills its process, and how long others take there."""
    make_metals(place / "cifs", "Cu", "Al", "Ni")
    write(place / "cifs" / "copper.cif", bulk("Cu"))
    monkeypatch.setenv("MOODY_PARENTS", str(place / "parents"))
    monkeypatch.setenv("MOODY_SECONDS", "0.1")
    return place


def check(capsys, monkeypatch):
    """Compare what an engine did with what local processes do; two of its workers had one each."""
    assert "3 done, 1 failed, 0 lost" in capsys.readouterr().out
    own = {int(line) for line in Path("parents").read_text().split()} - {os.getpid(), os.getppid()}
    assert len(own) >= 2
    monkeypatch.setenv("MOODY_SECONDS", "0")
    assert relax("--db", "local.db") == 1
    found, expected = read_rows(), read_rows("local.db")
    assert set(found) == set(expected) == {"Cu", "Al", "Ni", "copper"}
    for name in found:
        assert_same(found[name], expected[name])
    assert found["Ni"][1]["error"] == "its process ended with status 7"


@pytest.fixture
def told(monkeypatch):
    """Have local tasks tell the GPU and the threads of their process, in place of being done."""

    def tell(task, limits, environment):
        found = {**environment, "threads": os.environ["OMP_NUM_THREADS"]}
        return Outcome("done", task, values=found)

    monkeypatch.setattr("phonopy_mlp.screen.executors.run_isolated", tell)
    monkeypatch.setattr("phonopy_mlp.screen.executors._count_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def ask(workers, device="auto"):
        with open_executor("local", workers, Limits(), device=device) as place:
            futures = [place.submit(str(k)) for k in range(40)]
            return place.ahead // 2, [dict(future.result().values) for future in futures]

    return ask


def test_workers_do_not_fight_for_cores(told, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert told(None) == (8, [{"threads": "1"}] * 40)
    assert told(2) == (2, [{"threads": "4"}] * 40)
    assert told(20) == (20, [{"threads": "1"}] * 40)
    assert "OMP_NUM_THREADS" not in os.environ
    # Fewer are somebody's wish.
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert told(2) == (2, [{"threads": "2"}] * 40)
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert told(2) == (2, [{"threads": "4"}] * 40)


def test_each_gpu_has_a_worker(told, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    count, found = told(None)
    assert count == 2
    assert {each["CUDA_VISIBLE_DEVICES"] for each in found} <= {"3", "GPU-5"}
    assert told(None, device="cpu") == (8, [{"threads": "1"}] * 40)
    assert told(4)[0] == 4
    # The second is told by its number, which it would not have if it were the only one.
    count, found = told(None, device="cuda:1")
    assert (count, "CUDA_VISIBLE_DEVICES" in found[0]) == (1, False)


def test_an_engine_that_takes_no_more_tasks_loses_them(place, monkeypatch, capsys):
    make_metals(place / "cifs", "Cu", "Al")

    @contextmanager
    def open_closed(*_, **__):
        def refuse(task):
            raise RuntimeError("cannot schedule new futures after shutdown")

        yield Place(refuse, 2)

    monkeypatch.setattr("phonopy_mlp.screen.run.open_executor", open_closed)
    assert relax() == 1
    assert "0 done, 0 failed, 2 lost" in capsys.readouterr().out
    assert "cannot schedule new futures" in read_rows()["Cu"][1]["error"]


def test_parsl(metals, capfd, monkeypatch):
    Path("config.py").write_text(PARSL)
    assert relax("--executor", "parsl:config.py") == 1
    check(capfd, monkeypatch)


@pytest.fixture
def dask(place, monkeypatch, request):
    """Start a scheduler and two workers, and return the scheduler's file."""
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__DAEMON", request.param)
    file = place / "scheduler.json"
    log = (place / "dask.log").open("w")
    run = [sys.executable, "-m", "dask"]
    processes = [
        subprocess.Popen([*run, *words], stdout=log, stderr=log)
        for words in (
            ["scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)],
            ["worker", "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(file)],
        )
    ]
    try:
        wait_for(file.exists)
        with Client(scheduler_file=str(file), timeout=LONG) as client:
            client.wait_for_workers(2, timeout=LONG)
        yield file
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
        log.close()


@pytest.mark.parametrize("dask", ["False"], indirect=True)
def test_dask(metals, dask, capsys, monkeypatch):
    assert relax("--executor", f"dask:{dask}") == 1
    check(capsys, monkeypatch)
    # An early end is told as what it is.
    with pytest.raises(OSError, match="no room"), open_executor(f"dask:{dask}", None, Limits()):
        raise OSError("no room")


@pytest.mark.parametrize("dask", ["True"], indirect=True)
def test_dask_workers_that_may_start_nothing_are_refused(place, dask, capsys):
    make_metals(place / "cifs", "Cu")
    assert relax("--executor", f"dask:{dask}") == 2
    assert "Start them with the variable DASK_DISTRIBUTED__WORKER__DAEMON=False" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("mpiexec", path=PATH) is None, reason="there is no mpiexec")
def test_mpi(metals, capfd, monkeypatch):
    run = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", "-m", "phonopy_mlp"]
    command = [*run, "screen", "cifs", *OPTIONS, *RELAX, "--executor", "mpi"]
    assert subprocess.run(command, env={**os.environ, "PATH": PATH}, check=False, timeout=LONG).returncode == 1
    check(capfd, monkeypatch)


def test_an_executor_of_ones_own(metals, monkeypatch):
    plan = make_plan(["relax"], {"relax": SET_RELAX[-1]}, Model("moody", "cpu"))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        states = run_screening([Path("cifs")], plan, "r.db", Path("r"), executor=pool)
        # It takes more.
        assert pool.submit(abs, -1).result() == 1
    assert states == {"done": 3, "failed": 1}
    assert len(set(Path("parents").read_text().split())) >= 2
    monkeypatch.setenv("MOODY_SECONDS", "0")
    assert run_screening([Path("cifs")], plan, "local.db", Path("local")) == states
    found, expected = read_rows(), read_rows("local.db")
    assert found.keys() == expected.keys()
    for name in expected:
        assert_same(found[name], expected[name])


def test_mpi_without_workers_is_refused(place, capsys):
    make_metals(place / "cifs", "Cu")
    assert relax("--executor", "mpi") == 2
    assert "mpiexec -n 5 python -m mpi4py.futures -m phonopy_mlp screen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "slurm"], "Executor 'slurm': there are local, parsl:FILE, dask:ADDRESS and mpi"),
        (["--executor", "local:3"], "Executor 'local:3'"),
        (["--executor", "parsl"], "Executor 'parsl'"),
        (["--executor", "parsl:none.py"], "Parsl configuration 'none.py': there is no such file"),
        (["--executor", "parsl:empty.py"], "it sets no 'config'"),
        (["--executor", "parsl:wrong.py"], "Parsl configuration 'wrong.py' fails: NameError"),
        (["--executor", "parsl:unfit.py"], "Parsl configuration 'unfit.py' cannot be used: "),
        (["--executor", "dask:tcp://127.0.0.1:1"], "Dask scheduler 'tcp://127.0.0.1:1'"),
        (["--workers", "0"], "0 workers"),
    ],
)
def test_what_cannot_be_started_is_said(options, message, place, capsys, monkeypatch):
    monkeypatch.setattr("phonopy_mlp.screen.executors._PATIENCE", "1s")
    make_metals(place / "cifs", "Cu")
    (place / "empty.py").touch()
    (place / "wrong.py").write_text("nonsense")
    (place / "unfit.py").write_text("from parsl.config import Config\nconfig = Config(run_dir='empty.py/runs')\n")
    assert relax(*options) == 2
    assert message in capsys.readouterr().err

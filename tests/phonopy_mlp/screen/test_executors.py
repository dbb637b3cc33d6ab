"""The same screening by every engine, with several worker processes each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phonopy_mlp.screen.executors import open_executor
from phonopy_mlp.screen.isolation import Limits

from .conftest import OPTIONS, SETS, make_metals, read_rows, screen, wait_for

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


def check(capsys):
    """Look at a screening of metals, of which one kills its process."""
    assert "2 done, 1 failed, 0 lost" in capsys.readouterr().out
    rows = read_rows()
    assert rows["Ni"][1]["error"] == "its process ended with status 7"
    assert {rows[name][1]["state"] for name in ("Cu", "Al")} == {"done"}


def test_parsl(place, capfd):
    make_metals(place / "cifs", "Cu", "Al", "Ni")
    (place / "config.py").write_text(PARSL)
    assert screen("--executor", "parsl:config.py") == 1
    check(capfd)


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
    wait_for(lambda: file.exists() and (place / "dask.log").read_text().count("Starting established connection") >= 3)
    yield file
    for process in reversed(processes):
        process.terminate()
        process.wait()
    log.close()


@pytest.mark.parametrize("dask", ["False"], indirect=True)
def test_dask(place, dask, capsys):
    make_metals(place / "cifs", "Cu", "Al", "Ni")
    assert screen("--executor", f"dask:{dask}") == 1
    check(capsys)
    # An early end is told as what it is.
    with pytest.raises(OSError, match="no room"), open_executor(f"dask:{dask}", None, Limits()):
        raise OSError("no room")


@pytest.mark.parametrize("dask", ["True"], indirect=True)
def test_dask_workers_that_may_start_nothing_are_refused(place, dask, capsys):
    make_metals(place / "cifs", "Cu")
    assert screen("--executor", f"dask:{dask}") == 2
    assert "Start them with the variable DASK_DISTRIBUTED__WORKER__DAEMON=False" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("mpiexec", path=PATH) is None, reason="there is no mpiexec")
def test_mpi(place, capfd):
    make_metals(place / "cifs", "Cu", "Al", "Ni")
    run = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", "-m", "phonopy_mlp"]
    command = [*run, "screen", "cifs", *OPTIONS, *SETS, "--executor", "mpi"]
    assert subprocess.run(command, env={**os.environ, "PATH": PATH}, check=False).returncode == 1
    check(capfd)


def test_mpi_without_workers_is_refused(place, capsys):
    make_metals(place / "cifs", "Cu")
    assert screen("--executor", "mpi") == 2
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
        (["--executor", "dask:tcp://127.0.0.1:1"], "Dask scheduler 'tcp://127.0.0.1:1'"),
        (["--workers", "0"], "0 workers"),
    ],
)
def test_what_cannot_be_started_is_said(options, message, place, capsys, monkeypatch):
    monkeypatch.setattr("phonopy_mlp.screen.executors._PATIENCE", "1s")
    make_metals(place / "cifs", "Cu")
    (place / "empty.py").touch()
    (place / "wrong.py").write_text("nonsense")
    assert screen(*options) == 2
    assert message in capsys.readouterr().err

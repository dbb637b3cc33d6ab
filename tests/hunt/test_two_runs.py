"""Two runs in one folder at a time, with different settings: one is refused, and what comes of the other is its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import ENVIRONMENT

from .commands import CHOSEN, COMMANDS, assert_same, get_ready, read_files
from .conftest import FACTOR

WRITES = 3 * min(FACTOR, 4)
"""Of the first run, at which the second is tried."""

LONG = 600
"""Seconds within which anything ends, on any machine."""

OWN = [name for name in dict.fromkeys((*CHOSEN, "report")) if COMMANDS[name].replaces]

PROGRAM = "import sys; from {module} import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(autouse=True)
def _ready(tmp_path, monkeypatch):
    get_ready(tmp_path / "site", monkeypatch)


@pytest.fixture
def expected(request, tmp_path, monkeypatch):
    """Files of a command that was alone."""
    command = COMMANDS[request.getfixturevalue("name")]
    alone, here = tmp_path / "alone" / "crystal", tmp_path / "run" / "crystal"
    alone.mkdir(parents=True)
    monkeypatch.chdir(alone)
    command.prepare(alone)
    shutil.copytree(alone, here)
    assert command.run()[0] == 0
    monkeypatch.chdir(here)
    return read_files(alone)


@pytest.mark.parametrize("name", OWN)
def test_another_run_is_refused_at_every_write(name, expected, monkeypatch, tally):
    command, place_in_order, places = COMMANDS[name], os.replace, []
    others = {command, *([COMMANDS["report"]] if name != "compare" else ())}

    def replace(source, place):
        place_in_order(source, place)
        if Path(place).name.startswith(".phonopy_mlp-probe"):
            return
        assert list(Path.cwd().glob("*.lock")), f"{place} is written without a lock"
        places.append(place)
        # The first ones, and then ever fewer.
        if len(places) > WRITES and len(places) & (len(places) - 1):
            return
        before = read_files(Path.cwd())
        for other in others:
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", place_in_order)
                status, said = other.run(otherwise=True)
            assert status == 2
            assert "Another run is at work in" in said
            assert_same(read_files(Path.cwd()), before)
            tally("two runs", name)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        assert command.run()[0] == 0
    assert places
    assert_same(read_files(Path.cwd()), expected)


@pytest.mark.parametrize(
    ("name", "module", "lock", "complaint"),
    [
        ("relax", "phonopy_mlp.cli.main", "phonopy_mlp.lock", "Another run is at work in"),
        ("sample", "mace_mof_calc.cli", "out.lock", "Another process is at work on"),
        ("evaluate", "mace_mof_calc.cli", "out/predictions.lock", "Another process is at work on"),
        ("finetune", "mace_mof_calc.cli", "own/frames.lock", "Another process is at work on"),
    ][: 2 * FACTOR],
)
def test_another_process_is_refused(name, module, lock, complaint, expected, monkeypatch, tally):
    """The first one is stopped as soon as it has begun, and goes on when the second has been refused."""
    code = f"import os, pathlib, signal, time\n{WAITING}\n{PROGRAM.format(module=module)}"
    words = [sys.executable, "-W", "ignore", "-c", code, *COMMANDS[name].words.split()]
    monkeypatch.setenv("HUNT_WAITS", lock)
    first = subprocess.Popen(words, env={**ENVIRONMENT, **os.environ}, stdout=subprocess.DEVNULL)
    while not Path("waits").exists():
        assert first.poll() is None
        time.sleep(0.02)
    status, said = COMMANDS[name].run(otherwise=True)
    Path("waits").unlink()
    assert status == 2
    assert complaint in said
    assert first.wait(timeout=LONG) == 0
    assert_same(read_files(Path.cwd()), expected)
    tally("two runs", name)


WAITING = """
def replace(source, place, replace=os.replace):
    replace(source, place)
    if pathlib.Path(os.environ.get("HUNT_WAITS", "none")).exists():
        del os.environ["HUNT_WAITS"]
        waits = pathlib.Path("waits")
        waits.touch()
        while waits.exists():
            time.sleep(0.02)

os.replace = replace
"""
"""Stops a process after the first file that it wrote, as long as there is a file `waits`."""

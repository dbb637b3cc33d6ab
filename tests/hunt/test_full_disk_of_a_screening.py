"""Screenings on a disk that is really full: a small one in memory, which is made larger before it goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.build import bulk
from ase.db import connect
from ase.io import write

from .commands import COMMANDS, Command, get_ready, phonopy_mlp
from .conftest import FACTOR

Resize = Callable[[Path, str], None]


@pytest.fixture(autouse=True)
def _ready(tmp_path, monkeypatch):
    get_ready(tmp_path / "site", monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def disk(tmp_path):
    """Return what makes a folder a disk of some size, or gives that disk another size."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("a disk in memory is Linux's")
    mounted: list[Path] = []

    def resize(folder: Path, size: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        options = f"{'remount,' if folder in mounted else ''}size={size}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no disk may be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield resize
    for folder in dict.fromkeys(mounted):
        # As soon as nothing is open there, such as a database in the traceback of an error.
        subprocess.run(["umount", "--lazy", tmp_path / folder], check=True)


def screen(database: str = "r.db") -> tuple[int, str]:
    for symbol in ("Cu", "Al"):
        Path("cifs").mkdir(exist_ok=True)
        write(f"cifs/{symbol}.cif", bulk(symbol))
    words = f"screen cifs --mlp hunt --db {database} --folder r --workers 1 --steps relax,elastic"
    return Command(phonopy_mlp, words, "", Path.mkdir).run()


def read_rows(database: str = "r.db") -> dict[str, dict]:
    """Return what the database has of each structure, but what took how long."""
    found = {}
    for row in connect(database).select():
        values = {key: value for key, value in row.key_value_pairs.items() if not key.endswith("_seconds")}
        found[row.name] = {**values, "cell": row.cell.tolist()}
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        get_ready(folder / "site", patch)
        patch.chdir(folder)
        status, said = screen()
        assert status == 0, said
        return read_rows()


@pytest.mark.parametrize("size", ["20k", "8k", "32k"][: 1 + FACTOR // 2])
def test_a_full_disk_loses_one_structure_and_the_same_command_goes_on(size, expected, disk, tally):
    disk(Path("r/tasks/Cu"), size)
    status, said = screen()
    assert status == 1, said
    rows = read_rows()
    assert rows["Al"] == expected["Al"]
    assert rows["Cu"]["state"] == "lost"
    assert "No space left on device" in rows["Cu"]["error"]
    assert "cannot be written" in rows["Cu"]["error"]
    done = {path: path.stat().st_mtime_ns for path in Path("r/tasks").rglob("task.json")}
    assert len(done) >= 2
    disk(Path("r/tasks/Cu"), "64m")
    status, said = screen()
    assert status == 0, said
    assert read_rows() == expected
    assert {path: path.stat().st_mtime_ns for path in done} == done
    tally("full disk", "screen: a task")


@pytest.mark.parametrize("size", ["40k", "4k", "24k"][: 1 + FACTOR // 2])
def test_a_database_on_a_full_disk_ends_a_screening_which_then_goes_on(size, expected, disk, tally):
    disk(Path("small"), size)
    status, said = screen("small/r.db")
    assert status == 2
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if ": error: " in line]
    assert "Database 'small/r.db' cannot be" in line
    disk(Path("small"), "64m")
    status, said = screen("small/r.db")
    assert status == 0, said
    assert read_rows("small/r.db") == expected
    tally("full disk", "screen: the database")


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(disk, monkeypatch, tally):
    command, folder = COMMANDS["run"], Path("small").absolute()
    disk(folder, "16k")
    monkeypatch.chdir(folder)
    command.prepare(folder)
    for size in ("16k", "32k", "56k"):
        disk(folder, size)
        status, said = command.run()
        assert status == 2
        assert "Traceback" not in said
        (line,) = [line for line in said.splitlines() if ": error: " in line]
        assert "cannot be written: [Errno 28] No space left on device" in line
        assert not list(folder.rglob(".*"))
        tally("full disk", "run, in memory")
    disk(folder, "64m")
    status, said = command.run()
    assert status == 0, said

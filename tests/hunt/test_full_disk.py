"""A disk that is full when any one of a command's files is written: each file is whole or not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .commands import CHOSEN, COMMANDS, assert_not_mixed, assert_same, get_ready, is_resumable, is_whole, read_files
from .conftest import FACTOR

resource = pytest.importorskip("resource", reason="Windows sets files no limits")

FAULTS = 2
"""Of each command, besides that in its largest file."""


Write = tuple[str, int]
"""A file that is written, and how many times it was before. What goes on writes less, but the rest as it was."""


@dataclass
class Disk:
    """What was begun to be written, in order, and the sizes of what was finished."""

    writes: list[Write] = field(default_factory=list)
    sizes: dict[Write, int] = field(default_factory=dict)


@contextmanager
def full(at: Write | None = None, room: int = 0) -> Iterator[Disk]:
    """Let no file be larger than `room` from one on."""
    disk, begun = Disk(), Counter()
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def begin(name: str) -> Write:
        disk.writes.append((name, begun[name]))
        begun[name] += 1
        if disk.writes[-1] == at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        return disk.writes[-1]

    temporary: dict[str, Write] = {}

    def make_file(suffix="", prefix="", dir=".", make=tempfile.mkstemp):
        write = begin(os.path.relpath(Path(dir) / f"{prefix}...{suffix}"))
        descriptor, name = make(suffix, prefix, dir)
        temporary[name] = write
        return descriptor, name

    def run_program(*words, run=subprocess.run, **options):
        disk.sizes[begin("phonopy")] = 3
        return run(*words, **options)

    def replace(source, target, replace=os.replace):
        if (write := temporary.get(str(source))) is not None:
            disk.sizes[write] = Path(source).stat().st_size
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", make_file)
        patch.setattr(subprocess, "run", run_program)
        patch.setattr(os, "replace", replace)
        try:
            yield disk
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(autouse=True)
def _ready(tmp_path, monkeypatch):
    get_ready(tmp_path / "site", monkeypatch)


def choose(disk: Disk) -> Iterator[tuple[Write, int]]:
    """Yield writes, in order and from the first to the last, and how much of each there is room for."""
    written = [write for write in disk.writes if disk.sizes.get(write)]
    count = min(len(written), FAULTS * FACTOR)
    chosen = sorted({round(k * (len(written) - 1) / max(1, count - 1)) for k in range(count)})
    largest = max(written, key=disk.sizes.__getitem__)
    for k, write in enumerate(written):
        size = disk.sizes[write]
        # The times that a record tells are not always as long.
        rooms = (size // 2, max(0, size - 64), 0)
        yield from ((write, room) for room in rooms[:FACTOR] if write == largest)
        if k in chosen and write != largest:
            yield write, rooms[k % 3]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_full_disk_leaves_whole_files_and_the_command_goes_on(name, tmp_path, monkeypatch, tally):
    command, good, folder = COMMANDS[name], tmp_path / "good", tmp_path / "full"
    good.mkdir()
    monkeypatch.chdir(good)
    command.prepare(good)
    if command.replaces:
        status, said = command.run(otherwise=True)
        assert status == 0, said
    earlier = read_files(good)
    begun = shutil.copytree(good, tmp_path / "begun")
    shutil.copytree(begun, folder)
    with full() as disk:
        status, said = command.run()
    assert status == 0, said
    expected = read_files(good)
    monkeypatch.chdir(folder)
    for write, room in choose(disk):
        with full(write, room) as reached:
            status, said = command.run()
        if write not in reached.writes:
            # It was written before, and what went on from there is done.
            assert status == 0, said
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(folder)
            monkeypatch.chdir(shutil.copytree(begun, folder))
            with full(write, room) as reached:
                status, said = command.run()
        what = f"{write} at {room} bytes: {said}"
        assert status == 2, what
        check_message(said)
        for path, content in read_files(folder).items():
            assert is_resumable(path) or is_whole(path, content, expected, earlier), f"{path}; {what}"
            assert not any(part.startswith(".") for part in Path(path).parts), f"{path}; {what}"
        assert_not_mixed(folder, expected, earlier)
        tally("full disk", name)
    status, said = command.run()
    assert status == 0, said
    assert_same(read_files(folder), expected)


def check_message(said: str) -> None:
    """Check that an error is said once, in a line with what cannot be written, why, and what to do."""
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if ": error: " in line]
    assert "cannot be written" in line
    assert "File too large" in line
    assert "room" in line

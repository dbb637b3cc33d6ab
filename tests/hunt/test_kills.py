"""What a kill leaves, at the moments when files appear: whole files, and what the same command goes on from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .commands import CHOSEN, COMMANDS, assert_not_mixed, assert_same, get_ready, is_resumable, is_whole, read_files
from .conftest import FACTOR

KILLS = 2
"""Of each command, that it goes on from."""


@contextmanager
def watching(folder: Path, target: Path) -> Iterator[list[Path]]:
    """Copy a folder before each file is put in its place, the file half-written, and after, and before any goes.

    A run that is killed has no part in what it leaves: these are the folders that it could leave, though it goes on.
    """
    moments: list[Path] = []

    def copy() -> Path:
        moments.append(target / str(len(moments)))
        return shutil.copytree(folder, moments[-1])

    def replace(source, place, replace=os.replace):
        half = copy() / Path(source).absolute().relative_to(folder)
        half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
        replace(source, place)
        copy()

    def unlink(path, *, unlink=os.unlink, **options):
        if not options and Path(path).absolute().is_relative_to(folder) and Path(path).exists():
            copy()
        unlink(path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(os, "unlink", unlink)
        yield moments


@pytest.fixture(autouse=True)
def _ready(tmp_path, monkeypatch):
    get_ready(tmp_path / "site", monkeypatch)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_kill_leaves_whole_files_and_the_command_goes_on(name, tmp_path, monkeypatch, tally):
    command, folder = COMMANDS[name], tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder)
    command.prepare(folder)
    if command.replaces:
        assert command.run(otherwise=True)[0] == 0
    earlier = read_files(folder)
    with watching(folder, tmp_path / "killed") as moments:
        assert command.run()[0] == 0
    expected = read_files(folder)
    assert moments
    for moment in moments:
        for path, content in read_visible(moment).items():
            assert is_resumable(path) or is_whole(path, content, expected, earlier), f"{path} in {moment}"
        assert_not_mixed(moment, expected, earlier)
    count = min(len(moments), KILLS * FACTOR)
    for k in sorted({round((k + 0.5) * len(moments) / count) for k in range(count)} - {len(moments)}):
        monkeypatch.chdir(moments[k])
        status, said = command.run()
        assert status == 0, said
        assert_same(read_visible(moments[k]), expected)
        tally("kill", name)


def read_visible(folder: Path) -> dict[str, bytes]:
    """Return files without temporary ones and locks, which nobody can remove who is killed."""
    return {
        name: content
        for name, content in read_files(folder).items()
        if not (name.endswith(".lock") or any(part.startswith(".") for part in Path(name).parts))
    }

"""What a kill leaves on the disk, at every moment of a run that is not killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def watching(kind: Any, folder: Path, target: Path) -> Iterator[list[tuple[Path, int]]]:
    """Copy a folder whenever a calculator of a class starts an evaluation and something is there that was not before.

    A run that is killed has no part in what it leaves: these are the folders that it could leave, each once, though the
    run goes on. Of kills between which nothing is kept, all leave the same.

    Parameters
    ----------
    kind : type
        Class of the calculator.
    folder : Path
        That the run keeps its parts in.
    target : Path
        Where the copies go.

    Yields
    ------
    list of tuple
        Each copy's path, and how many evaluations had been finished by then.

    """
    moments: list[tuple[Path, int]] = []
    seen: set[tuple[str, ...]] = set()
    finished = 0
    calculate = kind.calculate

    def calculate_and_look(self, *args, **kwargs):
        nonlocal finished
        files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
        if files not in seen:
            seen.add(files)
            moments.append((target / str(len(moments)), finished))
            if folder.is_dir():
                shutil.copytree(folder, moments[-1][0])
        calculate(self, *args, **kwargs)
        finished += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "calculate", calculate_and_look)
        yield moments

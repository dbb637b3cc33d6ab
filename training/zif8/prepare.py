"""What fine-tuning on ZIF-8 begins with: crystals, and labelled frames of the frameworks that `mini` knows.

``python training/zif8/prepare.py FOLDER`` writes ``zif-8.extxyz``; ``salem-2.extxyz``, the same net of the same family
with another linker, which is held out; ``replay.extxyz``, a sample of what `mini` was trained on; and ``old.extxyz``,
frames of the same frameworks that it never saw. The same files come out each time, and those that are there already are
left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "training" / "mini"))

import archive  # noqa: E402  (of training/mini, as the next)
from crystals import FRAMEWORKS, SALEM2, ZIF8, Framework  # noqa: E402

from mace_mof_calc.frames import write_frames  # noqa: E402  (after it)

REPLAYED, KEPT_BACK = 25, 10
"""Frames of each framework."""


def make_crystal(framework: Framework) -> Atoms:
    """Return a primitive cell that knows its name."""
    atoms = framework.primitive()
    atoms.info["source"] = framework.name
    return atoms


def read_known(name: str, count: int) -> Iterator[Atoms]:
    """Yield so many frames of each framework in a file of the archive, spread over all kinds."""
    frames = archive.read(name)
    for framework in FRAMEWORKS:
        own = [atoms for atoms in frames if atoms.info["source"] == framework]
        for k in np.linspace(0, len(own) - 1, count).round().astype(int):
            yield own[k]


def main() -> None:
    """Write what is not there yet."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Callable[[], Iterable[Atoms]]] = {
        "zif-8": lambda: [make_crystal(ZIF8)],
        "salem-2": lambda: [make_crystal(SALEM2)],
        "replay": lambda: read_known("labelled", REPLAYED),
        "old": lambda: read_known("unseen", KEPT_BACK),
    }
    for name, make in contents.items():
        if not (folder / f"{name}.extxyz").exists():
            write_frames(folder / f"{name}.extxyz", list(make()))


if __name__ == "__main__":
    main()

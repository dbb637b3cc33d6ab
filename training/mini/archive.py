"""The labels as one file, so that training needs no labelling.

``python training/mini/archive.py FOLDER`` unpacks it, and ``... FOLDER --store`` packs what lies there:

* ``minima.extxyz``: primitive cells at GFN1-xTB's minimum, labelled;
* ``hessians.extxyz``: the cells that were labelled, at the minimum, with their Hessians;
* ``labelled.extxyz``: frames to train on, and free atoms;
* ``unseen.extxyz``: frames that training never sees.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from pathlib import Path

from ase import Atoms

from mace_mof_calc.frames import read_frames

ARCHIVE = Path(__file__).with_name("labels.tar.xz")
NAMES = ("hessians", "labelled", "unseen", "minima")


def restore(folder: Path) -> None:
    """Unpack the files that are not in a folder yet; each appears complete or not at all."""
    missing = [f"{name}.extxyz" for name in NAMES if not (folder / f"{name}.extxyz").exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unpacked, tarfile.open(ARCHIVE) as archive:
        archive.extractall(unpacked, filter="data")
        for name in missing:
            (Path(unpacked) / name).replace(folder / name)


def read(name: str) -> list[Atoms]:
    """Read one of the files, by its name without suffix."""
    with tempfile.TemporaryDirectory() as folder:
        restore(Path(folder))
        return read_frames(Path(folder) / f"{name}.extxyz")


def store(folder: Path) -> None:
    """Pack the files in a folder, through a temporary file and a rename; the same labels make the same file."""
    temporary = ARCHIVE.with_name(ARCHIVE.name + ".part")
    with tarfile.open(temporary, "w:xz", preset=9) as archive:
        for name in NAMES:
            archive.add(folder / f"{name}.extxyz", f"{name}.extxyz", filter=_anonymous)
    temporary.replace(ARCHIVE)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


def main() -> None:
    """Unpack or pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", action="store_true", help="pack what lies there")
    options = parser.parse_args()
    (store if options.store else restore)(options.folder)


if __name__ == "__main__":
    main()

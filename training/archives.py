"""Labels as one file, so that training needs no labelling."""

from __future__ import annotations

import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from mace_mof_calc.frames import read_frames


@dataclass(frozen=True)
class Archive:
    """A file that has others in it.

    Attributes
    ----------
    path : Path
    names : tuple of str
        Of the others, as paths in a folder.
    """

    path: Path
    names: tuple[str, ...]

    def restore(self, folder: Path) -> None:
        """Unpack the files that are not in a folder yet; each appears complete or not at all."""
        missing = [name for name in self.names if not (folder / name).exists()]
        if not missing:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as unpacked, tarfile.open(self.path) as archive:
            archive.extractall(unpacked, filter="data")
            for name in missing:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(unpacked) / name).replace(folder / name)

    def read(self, name: str) -> list[Atoms]:
        """Read the frames of one of the files, by its name without suffix."""
        with tempfile.TemporaryDirectory() as folder:
            self.restore(Path(folder))
            return read_frames(Path(folder) / f"{name}.extxyz")

    def store(self, folder: Path) -> None:
        """Pack the files in a folder, through a temporary file and a rename; the same labels make the same file."""
        temporary = self.path.with_name(self.path.name + ".part")
        with tarfile.open(temporary, "w:xz", preset=9) as archive:
            for name in self.names:
                archive.add(folder / name, name, filter=_anonymous)
        temporary.replace(self.path)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry

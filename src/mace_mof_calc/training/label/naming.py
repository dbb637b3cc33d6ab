"""Names by which frames are told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from ...errors import FramesError
from ...frames import read_frames


def read_named_frames(paths: Sequence[Path]) -> list[Atoms]:
    """Read files of frames; those that have no name are called after their file and place in it.

    A file of one structure without a name is a crystal, which is called after it.

    Raises
    ------
    FramesError
        A file cannot be read, or two frames have the same name.
    """
    found = []
    for path in paths:
        frames = read_frames(path)
        if len(frames) == 1 and not {"name", "source"} & frames[0].info.keys():
            frames[0].info["source"] = path.stem
        for k, atoms in enumerate(frames):
            atoms.info["name"] = str(atoms.info.get("name", f"{path.stem}-{k}"))
            found.append(atoms)
    check_names(found)
    return found


def check_names(frames: Sequence[Atoms]) -> None:
    """Check that each frame has a name of its own.

    Raises
    ------
    FramesError
        Two have the same.
    """
    ((name, count),) = Counter(atoms.info["name"] for atoms in frames).most_common(1)
    if count > 1:
        raise FramesError(
            f"{count} frames are called {name!r}",
            "A frame that fails is listed by its name",
            "Give each a name of its own, or none",
        )


def get_source(atoms: Atoms) -> str:
    """Return the crystal that a frame is of."""
    return str(atoms.info.get("source", atoms.info["name"]))

"""The structures of a screening: a folder of files, a list of files, or an ASE database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ase import Atoms
from ase.io import iread, write

from phonopy_mlp.errors import StructureError
from phonopy_mlp.files import exists, file_digest, is_file, replacing
from phonopy_mlp.screen.progress import STATUS_FILE
from phonopy_mlp.screen.stamps import Stamp, take_stamp

FRAMES = (".xyz", ".extxyz")
"""Of files that may hold several structures."""

SUFFIXES = (".cif", ".vasp", ".poscar", *FRAMES)
"""Of the files in a folder that are taken for structures; a list may name others."""

NAMES = ("POSCAR", "CONTCAR")
"""The same, of files without a suffix."""

DATABASES = (".db",)

TASKS, INPUTS = "tasks", "inputs"
"""Folders of a screening's own: of what is done, and of structures from databases."""

AGREEMENT_FILE = "screening.json"
"""That lies in the folder of any screening."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One structure.

    Attributes
    ----------
    name : str
        Unique, and the name of a folder.
    path : Path
        Its file.
    digest : str
        Of the file.
    stamp : Stamp or None
        From before that.
    """

    name: str
    path: Path
    digest: str
    stamp: Stamp | None = None


def find_structures(sources: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Return the file of each structure by its name, the largest first.

    Tasks of one size come together, which shares what a GPU keeps for them, and the longest do not come last. Names
    that differ in case alone are one: some systems have one file for both.

    Parameters
    ----------
    sources : sequence of Path
        Files of one or several structures, folders of such, text files with the path of one in each line, ASE databases
        (``.db``).
    folder : Path
        Of the screening: structures that have no file of their own are written into it. What is in it is not taken for
        more.

    Raises
    ------
    StructureError
        There is no structure, a file is missing, or two structures have one name.
    """
    found: dict[str, Path] = {}
    origins: dict[str, str] = {}
    for source in sources:
        for name, path, origin in _find(source, folder):
            before = origins.setdefault(name.casefold(), origin)
            if before != origin:
                raise StructureError(
                    f"Two structures are called '{name}'",
                    f"they are {before} and {origin}",
                    "Give one of them another name",
                )
            found[name] = path
    if not found:
        raise StructureError(
            f"There is no structure in {', '.join(map(str, sources))}",
            f"a folder is searched for {', '.join(SUFFIXES)}",
            "Name a folder of structures, a list of files, or an ASE database",
        )
    return dict(sorted(found.items(), key=lambda item: (-_get_size(item[1]), item[0])))


def read_entries(structures: Mapping[str, Path]) -> Iterator[Entry]:
    """Yield structures with the digests of their files, one when it is asked for."""
    for name, path in structures.items():
        stamp = None
        try:
            stamp = take_stamp(path)
            digest = file_digest(path)
        except OSError as error:
            # Its first step fails, and is done again when the file is back.
            digest = f"unreadable: {error}"
        yield Entry(name, path, digest, stamp)


def _get_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def is_word(text: str) -> bool:
    """Return whether ASE's databases take a text for one, and not for a number or a flag."""
    try:
        float(text)
    except ValueError:
        return text not in ("True", "False")
    return False


def _find(source: Path, folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield name and file of each structure, and where it is from."""
    if exists(source) and source.is_dir():
        for path in _walk(source, folder):
            if (path.suffix.lower() in SUFFIXES or path.name in NAMES) and path.is_file():
                yield from _find_in_file(_name(str(path.relative_to(source).with_suffix(""))), path, folder)
    elif not is_file(source):
        raise StructureError(f"'{source}' was not found", "it is neither a file nor a folder", "Check its name")
    elif source.suffix in DATABASES:
        yield from _export(source, folder)
    elif source.suffix in (".txt", ".lst"):
        try:
            lines = source.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StructureError(f"'{source}' cannot be read", str(error), "Give one path in each line") from error
        for line in lines:
            if line.strip():
                path = source.parent / line.strip()
                if not is_file(path):
                    raise StructureError(f"'{path}' was not found", f"'{source}' names it", "Check the list")
                yield from _find_in_file(_name(path.stem), path, folder)
    else:
        yield from _find_in_file(_name(source.stem), source, folder)


def _find_in_file(name: str, path: Path, folder: Path) -> Iterator[tuple[str, Path, str]]:
    frames = _read_frames(path) if path.suffix.lower() in FRAMES and _has_several(path) else []
    if len(frames) < 2:
        yield name, path, f"'{path}'"
        return
    for number, atoms in enumerate(frames, 1):
        own = _name(str(atoms.info.get("name", f"{name}-{number}")))
        yield own, _write_input(own, atoms, folder), f"structure {number} of '{path}'"


def _read_frames(path: Path) -> list[Atoms]:
    """Return the structures in a file; none where it cannot be read, which its first step says."""
    try:
        return list(iread(path, ":"))
    except Exception:  # of ASE's readers
        return []


def _has_several(path: Path) -> bool:
    """Return whether a file of frames goes on after the first."""
    try:
        with path.open(encoding="utf-8") as lines:
            atoms = int(next(lines, ""))
            return any(line.strip() for line in islice(lines, atoms + 1, None))
    except (OSError, ValueError):
        return False


def _write_input(name: str, atoms: Atoms, folder: Path) -> Path:
    """Write a structure that has no file of its own."""
    path = folder / INPUTS / f"{name}.extxyz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        write(temporary, atoms, format="extxyz")
    return path


def _walk(source: Path, folder: Path) -> Iterator[Path]:
    """Yield the files in a folder, but for hidden ones, and for those of this and other screenings."""
    for where, folders, files in os.walk(source):
        own = AGREEMENT_FILE in files or Path(where).resolve() == folder.resolve()
        passed = {TASKS, INPUTS, STATUS_FILE, AGREEMENT_FILE} if own else set()
        folders[:] = [name for name in folders if not (name in passed or name.startswith("."))]
        yield from (Path(where) / name for name in files if not (name in passed or name.startswith(".")))


def _export(database: Path, folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Write the rows of a database as files."""
    for number, name, atoms in _read_rows(database):
        yield name, _write_input(name, atoms, folder), f"row {number} of '{database}'"


def _read_rows(database: Path) -> Iterator[tuple[int, str, Atoms]]:
    from ase.db import connect

    try:
        for row in connect(database).select(include_data=False):
            yield row.id, _name(str(row.get("name", f"{database.stem}-{row.id}"))), row.toatoms()
    except Exception as error:  # of SQLite, or of what is in its columns
        raise StructureError(
            f"Database '{database}' cannot be read", f"{type(error).__name__}: {error}", "Give a database of ASE"
        ) from error


def _name(words: str) -> str:
    """Return a name for files and databases."""
    name = re.sub(r"[^\w.()+-]+", "_", words).strip("._") or "structure"
    return name if is_word(name) else f"structure_{name}"

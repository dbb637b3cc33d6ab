"""The structures of a screening: a folder of files, a list of files, or an ASE database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.io import write

from phonopy_mlp.errors import StructureError
from phonopy_mlp.files import replacing
from phonopy_mlp.inputs import file_digest

SUFFIXES = (".cif", ".vasp", ".poscar", ".xyz", ".extxyz", ".json")
"""Of the files in a folder that are taken for structures; a list may name others."""

DATABASES = (".db",)


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
    """

    name: str
    path: Path
    digest: str


def find_structures(sources: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Return the file of each structure by its name, the largest first.

    Tasks of one size come together, which shares what a GPU keeps for them, and the longest do not come last.

    Parameters
    ----------
    sources : sequence of Path
        Structure files, folders of such, text files with the path of one in each line, ASE databases (``.db``).
    folder : Path
        That the structures of databases are written to.

    Raises
    ------
    StructureError
        There is no structure, a file is missing, or two structures have one name.
    """
    found: dict[str, Path] = {}
    for source in sources:
        for name, path in _find(source, folder):
            if found.setdefault(name, path) != path:
                raise StructureError(
                    f"Two structures are called '{name}'",
                    f"they are '{found[name]}' and '{path}'",
                    "Give one of the files another name",
                )
    if not found:
        raise StructureError(
            f"There is no structure in {', '.join(map(str, sources))}",
            f"a folder is searched for {', '.join(SUFFIXES)}",
            "Name a folder of structures, a list of files, or an ASE database",
        )
    return dict(sorted(found.items(), key=lambda item: (-item[1].stat().st_size, item[0])))


def read_entries(structures: Mapping[str, Path]) -> Iterator[Entry]:
    """Yield structures with the digests of their files, one when it is asked for."""
    for name, path in structures.items():
        yield Entry(name, path, file_digest(path))


def _find(source: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    if source.is_dir():
        for path in source.rglob("*"):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield _name(str(path.relative_to(source).with_suffix(""))), path
    elif not source.is_file():
        raise StructureError(f"'{source}' was not found", "it is neither a file nor a folder", "Check its name")
    elif source.suffix in DATABASES:
        yield from _export(source, folder)
    elif source.suffix in (".txt", ".lst"):
        for line in source.read_text(encoding="utf-8").splitlines():
            if line.strip():
                path = source.parent / line.strip()
                if not path.is_file():
                    raise StructureError(f"'{path}' was not found", f"'{source}' names it", "Check the list")
                yield _name(path.stem), path
    else:
        yield _name(source.stem), source


def _export(database: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the rows of a database as files, those that are not there yet."""
    from ase.db import connect

    folder.mkdir(parents=True, exist_ok=True)
    for row in connect(database).select():
        name = _name(str(row.get("name", f"{database.stem}-{row.id}")))
        path = folder / f"{name}.extxyz"
        with replacing(path) as temporary:
            write(temporary, row.toatoms(), format="extxyz")
        yield name, path


def _name(words: str) -> str:
    """Return a name for files and databases."""
    name = re.sub(r"[^\w.()+-]+", "_", words).strip("._") or "structure"
    try:
        float(name)
    except ValueError:
        return name
    # A database takes a word that is a number for one.
    return f"structure_{name}"

"""Curation of a folder of CIFs: the whole step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ase import Atoms

from ...errors import StructureError, TrainingError
from ...files import make_folder, write_file
from ..extras import require
from ..job import Job, Part
from ..manifest import Dropped, Manifest
from ..progress import Track, silently
from .bonds import find_bonds, fingerprint_bonds
from .choose import choose
from .coverage import plot_coverage
from .describe import Description, describe
from .duplicates import find_duplicates
from .filters import check_electrons, check_elements, check_framework, check_overlap, check_pore, check_size
from .limits import Limits
from .pores import compute_pore_diameters
from .reading import find_cifs, read_cif
from .symmetry import find_crystal_system, reduce_to_primitive
from .table import Row, encode_table

if TYPE_CHECKING:
    from ...models.loading import LoadedModel

_LINKER, _NODE, _BONDS = "linker_descriptor", "node_descriptor", "bonds"
_SPACE_GROUP, _SYSTEM = "space_group", "crystal_system"
_LIMITING, _LARGEST = "pore_limiting_diameter", "largest_pore_diameter"
_DUPLICATES = "duplicates"


@dataclass(frozen=True, slots=True)
class Curation:
    """What came of a curation.

    Attributes
    ----------
    manifest : Manifest
    rows : tuple of Row
        Of all structures, by name; none where the curation was finished before and nothing was done.
    """

    manifest: Manifest
    rows: tuple[Row, ...]


def run_curation(
    folder: Path, output: Path, model: LoadedModel, count: int, limits: Limits | None = None, *, track: Track = silently
) -> Curation:
    """Filter the CIFs of a folder, describe what is left, and choose from it.

    Beside `output`, ``NAME.extxyz`` with the primitive cells in the order of choice, it writes ``NAME.csv`` with a row
    for each CIF, and ``NAME.png`` with plots of what is covered. Where it was stopped it goes on. What else lies in the
    folder does not matter, so that `output` may lie there, too.

    Parameters
    ----------
    folder : Path
        CIFs, in folders within as well.
    output : Path
    model : LoadedModel
        Whose descriptors tell structures apart.
    count : int
        How many to choose.
    limits : Limits, optional
    track : Track, optional
        How progress is shown.

    Returns
    -------
    Curation

    Raises
    ------
    FramesError
        There is no such folder, or no CIF in it.
    TrainingError
        No structure is left, an element is asked for that the model lacks, the output was made otherwise (see `Job`),
        or a table or plots lie beside it that are not those of this curation. None of these is changed.
    MissingExtraError
        A package of the extra ``training`` is not installed.
    """
    limits = limits or Limits()
    _check(model, count, limits)
    cifs = find_cifs(folder)
    settings = {"model": model.digest, "head": model.head, "count": count, "names": _digest(cifs), **asdict(limits)}
    job = Job(output, "curate", list(cifs.values()), settings)
    if job.finished:
        return Curation(job.finished, ())
    table, plots = output.with_suffix(".csv"), output.with_suffix(".png")
    if not job.has(_DUPLICATES):  # they are written after these
        _check_beside({table: None, plots: None})
    parts = [
        job.do(f"structure {name}", partial(_examine, name, cifs[name], model, limits))
        for name in track(list(cifs), "structures")
    ]
    for name, part in zip(cifs, parts, strict=True):
        for atoms in part.frames:
            atoms.info.update({"name": name, "source": name})  # extended XYZ may have changed them: 007, 1e5
    left = [part.frames[0] for part in parts if not part.dropped]
    same = job.do(_DUPLICATES, partial(_drop_duplicates, left, track))
    dropped = tuple(each for part in (*parts, same) for each in part.dropped)
    left = [atoms for atoms in left if atoms.info["name"] not in {each.name for each in same.dropped}]
    rows = {name: Row(name) for name in cifs}
    rows |= {atoms.info["name"]: _make_row(atoms) for part in parts for atoms in part.frames}
    rows |= {each.name: replace(rows[each.name], dropped=each.reason) for each in dropped}
    chosen, pictures = _choose(left, count, rows) if left else ([], None)
    beside = {table: encode_table(list(rows.values())), **({plots: pictures} if pictures else {})}
    _check_beside(beside)
    make_folder(output.parent)
    for path, content in beside.items():
        write_file(path, content)
    return Curation(job.finish([Part(chosen, dropped)]), tuple(rows.values()))


def _check(model: LoadedModel, count: int, limits: Limits) -> None:
    for package in ("pymatgen", "pyzeo", "spglib"):
        require(package)
    if count < 1:
        raise TrainingError(f"{count} structures were to be chosen", "", "Choose one or more")
    unknown = sorted(set(limits.elements or ()) - set(model.elements))
    if unknown:
        raise TrainingError(
            f"The model {model.name} does not know {' '.join(unknown)}",
            f"Its elements are {' '.join(model.elements)}, and only of these it has descriptors",
            "Leave it out, or take a model that knows it",
        )


def _digest(names: Iterable[str]) -> str:
    """Stand for the names of the CIFs, which the structures are called by."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


def _check_beside(files: Mapping[Path, bytes | None]) -> None:
    """Raise an error where one of the files is there with anything but the content that it is to have."""
    there = [path for path in files if path.exists()]
    theirs = [path for path in there if files[path] is None or path.read_bytes() != files[path]]
    if theirs:
        raise TrainingError(
            f"{' and '.join(map(str, theirs))} would be overwritten",
            "What is there was not written by this curation",
            "Name another output, or move it away",
        )


def _examine(name: str, path: Path, model: LoadedModel, limits: Limits) -> Part:
    """Read one structure, and find out whether it is of use; what was found out on the way is kept with it."""
    try:
        atoms = reduce_to_primitive(read_cif(path))
    except StructureError as error:
        return Part((), (Dropped(name, f"reading: {error}"),))
    atoms.info.update({"name": name, "source": name, "kind": "crystal"})
    try:
        reason = _measure(atoms, model, limits)
    except StructureError as error:
        reason = f"computation: {error}"
    return Part((atoms,), (Dropped(name, reason),) if reason else ())


def _measure(atoms: Atoms, model: LoadedModel, limits: Limits) -> str | None:
    """Write into a structure what it is, and say why it is of no use, if so; what is quick comes first."""
    bonds = find_bonds(atoms)
    allowed, whose = (limits.elements, "asked for") if limits.elements else (model.elements, f"of {model.name}")
    reason = (
        check_elements(atoms, allowed, whose)
        or check_size(atoms, limits.max_atoms)
        or check_overlap(atoms)
        or check_framework(atoms, bonds)
        or check_electrons(atoms)
    )
    if reason:
        return reason
    atoms.info[_SPACE_GROUP], atoms.info[_SYSTEM] = find_crystal_system(atoms)
    atoms.info[_BONDS] = fingerprint_bonds(atoms.numbers, bonds)
    pores = compute_pore_diameters(atoms)
    atoms.info[_LIMITING], atoms.info[_LARGEST] = pores.limiting, pores.largest
    reason = check_pore(pores.limiting, limits.pore)
    if reason:
        return reason
    description = describe(model, atoms, bonds)
    atoms.info[_LINKER], atoms.info[_NODE] = description.linker, description.node
    return None


def _drop_duplicates(structures: Sequence[Atoms], track: Track) -> Part:
    names = [atoms.info["name"] for atoms in structures]
    found = find_duplicates(structures, track)
    return Part((), [Dropped(names[k], f"duplicate: the same crystal as {names[j]}") for k, j in found.items()])


def _make_row(atoms: Atoms) -> Row:
    return Row(
        name=atoms.info["name"],
        formula=atoms.get_chemical_formula(),
        atoms=len(atoms),
        space_group=atoms.info.get(_SPACE_GROUP, ""),
        crystal_system=atoms.info.get(_SYSTEM, ""),
        limiting=atoms.info.get(_LIMITING),
        largest=atoms.info.get(_LARGEST),
    )


def _choose(left: Sequence[Atoms], count: int, rows: dict[str, Row]) -> tuple[list[Atoms], bytes]:
    """Choose structures, complete their rows, and draw what they cover."""
    descriptions = [Description(atoms.info[_LINKER], atoms.info[_NODE]) for atoms in left]
    choice = choose(descriptions, [atoms.info[_SYSTEM] for atoms in left], count)
    first: dict[str, str] = {}
    for atoms in left:
        name = atoms.info["name"]
        original = first.setdefault(atoms.info[_BONDS], name)
        rows[name] = replace(rows[name], bonded_like="" if original == name else original)
    chosen = [left[k] for k in choice.chosen]
    for rank, atoms in enumerate(chosen, 1):
        rows[atoms.info["name"]] = replace(rows[atoms.info["name"]], rank=rank)
    own = [rows[atoms.info["name"]] for atoms in left]
    pictures = plot_coverage(own, [frozenset(atoms.symbols) for atoms in left], descriptions, choice)
    return [_strip(atoms) for atoms in chosen], pictures


def _strip(atoms: Atoms) -> Atoms:
    """Return a structure without what only the choice needed."""
    stripped: Atoms = atoms.copy()
    for name in (_LINKER, _NODE, _BONDS):
        del stripped.info[name]
    return stripped

"""Crystals from CIFs: what can be read without doubt, and why the rest cannot."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from ase.io.cif import CIFBlock, parse_cif

from ...errors import FramesError, StructureError

_COORDINATES = tuple(tuple(f"_atom_site_{kind}_{axis}" for axis in "xyz") for kind in ("fract", "cartn"))
_OCCUPANCY, _GROUP, _ASSEMBLY, _LABEL, _SYMBOL = (
    f"_atom_site_{name}" for name in ("occupancy", "disorder_group", "disorder_assembly", "label", "type_symbol")
)
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_SYMMETRY = (
    *_OPERATIONS,
    *(f"_{group}_{name}" for group in ("space_group", "symmetry") for name in ("it_number", "int_tables_number")),
    *(f"_{group}_{name}" for group in ("space_group", "symmetry") for name in ("name_h-m", "space_group_name_h-m")),
    "_space_group_name_h-m_alt",
)
_NONE = (".", "?", "", "0")
# A charge at the end of the formula of a part, as in 'C8 H4 O4 2-, Na +'.
_CHARGE = re.compile(r"\s\d*([+-])\s*(?:[,)\]}]|$)")


def find_cifs(folder: Path) -> dict[str, Path]:
    """Return the CIFs in a folder and the folders within, by name: the path within the folder, without its suffix.

    Raises
    ------
    FramesError
        There is no such folder, it holds no CIF, or two of them have one name.
    """
    if not folder.is_dir():
        raise FramesError(f"There is no folder {folder}", "", "Give a folder of CIFs")
    found: dict[str, Path] = {}
    for path in sorted(each for each in folder.rglob("*") if each.suffix.lower() == ".cif" and each.is_file()):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise FramesError(f"{found[name]} and {path} have the same name", "", "Rename one of them")
        found[name] = path
    if not found:
        raise FramesError(f"There is no CIF in {folder}", "", "Give a folder of files NAME.cif")
    return found


def read_cif(path: Path) -> Atoms:
    """Read an ordered, neutral crystal from a CIF.

    Parameters
    ----------
    path : Path
        A CIF with one structure.

    Returns
    -------
    Atoms
        The whole cell as the CIF has it, lengths in Angstrom, periodic along all three axes, nothing else attached.
        Sites that are listed twice are there once.

    Raises
    ------
    StructureError
        The CIF does not parse, holds no structure or several, coordinates that are missing or not numbers, sites of no
        element, sites that are partly occupied or alternatives of each other, no symmetry at all, or the formula of
        charged parts.
    """
    block = _parse(path)
    _check_columns(block)
    _check_coordinates(block)
    _check_order(block)
    _check_symmetry(block)
    _check_charge(block)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on settings of space groups; the operations, where listed, decide
            atoms = read(path, format="cif")
    except Exception as error:  # ASE's reader raises whatever its parts do
        raise StructureError("ASE cannot read it", f"{type(error).__name__}: {error}") from error
    assert isinstance(atoms, Atoms)
    if not len(atoms) or not np.isfinite(atoms.positions).all() or not atoms.cell.rank == 3:
        raise StructureError("It has no atoms, or no cell")
    if not atoms.numbers.all():
        raise StructureError("It holds sites of no element")
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def _parse(path: Path) -> CIFBlock:
    try:
        with warnings.catch_warnings(), path.open(encoding="utf-8", errors="replace") as file:
            warnings.simplefilter("ignore")
            blocks = [block for block in parse_cif(file) if any(_has(block, names) for names in _COORDINATES)]
    except Exception as error:
        raise StructureError("It does not parse as a CIF", f"{type(error).__name__}: {error}") from error
    if len(blocks) != 1:
        raise StructureError(f"It holds {len(blocks) or 'no'} structures" if blocks else "It holds no coordinates")
    return blocks[0]


def _check_columns(block: CIFBlock) -> None:
    names = (*(name for names in _COORDINATES for name in names), _OCCUPANCY, _GROUP, _ASSEMBLY, _LABEL, _SYMBOL)
    lengths = {name: len(_column(block, name)) for name in names if name in block}
    if len(set(lengths.values())) > 1:
        raise StructureError(
            "The columns of its sites differ in length", ", ".join(f"{name} {n}" for name, n in lengths.items())
        )


def _check_coordinates(block: CIFBlock) -> None:
    names = next(names for names in _COORDINATES if _has(block, names))
    rows = list(zip(*(_column(block, name) for name in names), strict=True))
    bad = [k for k, row in enumerate(rows) if not all(_is_number(value) for value in row)]
    if bad:
        raise StructureError(f"The coordinates of {_name_sites(block, bad)} are no numbers")


def _check_order(block: CIFBlock) -> None:
    occupancies = _column(block, _OCCUPANCY)
    given = [k for k, value in enumerate(occupancies) if str(value).strip() not in (".", "?")]
    partial = [k for k in given if not _is_number(occupancies[k]) or abs(occupancies[k] - 1.0) > 1e-3]
    if partial:
        raise StructureError(f"Sites {_name_sites(block, partial)} are partly occupied")
    groups = [str(value).strip() for value in _column(block, _GROUP)]
    assemblies = [str(value).strip() for value in _column(block, _ASSEMBLY)] or [""] * len(groups)
    found: dict[str, set[str]] = {}
    for assembly, group in zip(assemblies, groups, strict=True):
        if group not in _NONE:
            found.setdefault(assembly, set()).add(group)
    # A negative group is one of several orientations about a symmetry element, whose others are not listed.
    if any(len(own) > 1 or any(group.startswith("-") for group in own) for own in found.values()):
        raise StructureError("It lists alternatives of a disordered part", "_atom_site_disorder_group")


def _check_symmetry(block: CIFBlock) -> None:
    if not any(str(value).strip() not in (".", "?", "") for name in _SYMMETRY for value in _column(block, name)):
        raise StructureError(
            "It names no space group and no operations", "Its sites could be all atoms or some of them"
        )


def _check_charge(block: CIFBlock) -> None:
    moiety = " ".join(str(value) for value in _column(block, "_chemical_formula_moiety")).strip("'\" ")
    if _CHARGE.search(moiety):
        raise StructureError("It declares charged parts", f"_chemical_formula_moiety {moiety}")


def _has(block: CIFBlock, names: tuple[str, ...]) -> bool:
    return all(name in block for name in names)


def _column(block: CIFBlock, name: str) -> list[Any]:
    found = block.get(name, [])
    return found if isinstance(found, list) else [found]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _name_sites(block: CIFBlock, sites: list[int]) -> str:
    labels = _column(block, _LABEL) or _column(block, _SYMBOL) or range(len(sites))
    return ", ".join(str(labels[k]) for k in sites[:3]) + (f" and {len(sites) - 3} more" if len(sites) > 3 else "")

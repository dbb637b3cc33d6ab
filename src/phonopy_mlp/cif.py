"""What ASE's reader of CIF passes over: alternative sites without occupancies, and coordinates that are no numbers."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from ase.io.cif import CIFBlock, parse_cif
from ase.io.formats import filetype, open_with_compression

from phonopy_mlp.errors import StructureError

_COORDINATES = tuple(tuple(f"_atom_site_{kind}_{axis}" for axis in "xyz") for kind in ("fract", "cartn"))
_GROUP, _ASSEMBLY, _LABEL, _SYMBOL = (
    f"_atom_site_{name}" for name in ("disorder_group", "disorder_assembly", "label", "type_symbol")
)
_SITES = (_GROUP, _ASSEMBLY, _LABEL, _SYMBOL)
_NO_GROUP = (".", "?", "0", "")


def check_cif(path: Path) -> None:
    """Raise `StructureError` where a CIF has alternative sites, or coordinates that are missing or not numbers.

    Other formats pass, and so does a file that does not parse: reading it says more.

    Parameters
    ----------
    path : Path
        A structure file.

    """
    block = _last_structure(path)
    if block is not None:
        _refuse_ragged(block, path)
        _refuse_words(block, path)
        _refuse_alternatives(block, path)


def _last_structure(path: Path) -> CIFBlock | None:
    """Return the block that ASE reads."""
    try:
        if filetype(str(path)) != "cif":
            return None
        with warnings.catch_warnings(), open_with_compression(str(path)) as file:
            warnings.simplefilter("ignore")
            blocks = [block for block in parse_cif(file) if _has_coordinates(block)]
    except Exception:
        return None
    return blocks[-1] if blocks else None


def _has_coordinates(block: CIFBlock) -> bool:
    return any(all(name in block for name in names) for names in _COORDINATES)


def _refuse_ragged(block: CIFBlock, path: Path) -> None:
    columns = (*(name for names in _COORDINATES for name in names), *_SITES)
    lengths = {name: len(_column(block, name)) for name in columns if name in block}
    if len(set(lengths.values())) > 1:
        raise StructureError(
            f"'{path}' does not parse",
            "the columns of its sites differ in length: " + ", ".join(f"{name} {n}" for name, n in lengths.items()),
            "Give every site a value in each column",
        )


def _refuse_words(block: CIFBlock, path: Path) -> None:
    names = next(names for names in _COORDINATES if all(name in block for name in names))
    rows = list(zip(*(_column(block, name) for name in names), strict=True))
    bad = [k for k, row in enumerate(rows) if not all(_is_number(value) for value in row)]
    if bad:
        labels = _column(block, _LABEL) or _column(block, _SYMBOL) or range(len(rows))
        sites = ", ".join(f"{labels[k]} ({' '.join(map(str, rows[k]))})" for k in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise StructureError(
            f"'{path}' holds coordinates that are not numbers",
            f"sites {sites}{more}",
            "Give these sites decimal numbers",
        )


def _refuse_alternatives(block: CIFBlock, path: Path) -> None:
    groups = [str(value).strip() for value in _column(block, _GROUP)]
    assemblies = [str(value) for value in _column(block, _ASSEMBLY)] or [""] * len(groups)
    found: dict[str, set[str]] = {}
    for assembly, group in zip(assemblies, groups, strict=True):
        if group not in _NO_GROUP:
            found.setdefault(assembly, set()).add(group)
    # A negative group is one of several orientations about a symmetry element, whose others are not listed.
    if any(len(own) > 1 or any(group.startswith("-") for group in own) for own in found.values()):
        named = ", ".join(sorted({group for own in found.values() for group in own}))
        raise StructureError(
            f"'{path}' is disordered",
            f"its sites belong to alternatives (_atom_site_disorder_group {named})",
            "Give an ordered structure: keep one of the alternatives of each disordered group, and remove the column",
        )


def _column(block: CIFBlock, name: str) -> list[Any]:
    found = block.get(name, [])
    return found if isinstance(found, list) else [found]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)

"""Example frameworks that ship with the package, each at the minimum of GFN1-xTB.

>>> from mace_mof_calc import structures
>>> atoms = structures.load("MOF-5")  # doctest: +SKIP
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable

from ase import Atoms
from ase.io import iread

from .errors import UnknownStructureError


def _cif_files() -> dict[str, Traversable]:
    folder = files("mace_mof_calc") / "data" / "structures"
    return {entry.name.removesuffix(".cif"): entry for entry in folder.iterdir() if entry.name.endswith(".cif")}


def names() -> tuple[str, ...]:
    """Names that `load` knows, sorted."""
    return tuple(sorted(_cif_files()))


def load(name: str) -> Atoms:
    """Read an example framework.

    Parameters
    ----------
    name : str
        One of `names`, with its capitals: ``"MOF-5"``, ``"MIL-53"``, ...

    Returns
    -------
    Atoms
        Primitive cell, lengths in Angstrom, periodic along all three axes, no calculator.

    Raises
    ------
    UnknownStructureError
        No example has that name; close names are suggested.
    """
    cifs = _cif_files()
    if name not in cifs:
        by_lower = {known.lower(): known for known in cifs}
        close = [by_lower[match] for match in get_close_matches(name.lower(), by_lower)]
        remedy = f"Did you mean {' or '.join(close)}?" if close else ""
        raise UnknownStructureError(
            f"There is no example structure called {name!r}", f"The examples are {', '.join(sorted(cifs))}", remedy
        )
    with cifs[name].open(encoding="utf-8") as stream:
        (structure,) = iread(stream, format="cif")
    # ASE keeps the space group and the occupancies it read in `info` and `arrays`; both go stale as soon as atoms move.
    return Atoms(structure.numbers, positions=structure.positions, cell=structure.cell, pbc=True)

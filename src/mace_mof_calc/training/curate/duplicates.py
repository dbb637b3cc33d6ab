"""Crystals that are the same, whatever their names, cells and origins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import gcd
from typing import Any

from ase import Atoms

from ...errors import StructureError
from ..extras import require
from ..progress import Track, silently
from .symmetry import reduce_to_primitive

#: The same crystal has cell lengths within this fraction of each other,
LENGTH_TOLERANCE = 0.03
#: cell angles within this, degrees,
ANGLE_TOLERANCE = 2.0
#: and each atom displaced by no more than this, in units of the cubic root of the volume per atom.
SITE_TOLERANCE = 0.1

# Angstrom. Supercells of crystals that are noisy are reduced with this: what is left of the noise is then compared.
_NOISE = 0.2


def find_duplicates(structures: Sequence[Atoms], track: Track = silently) -> dict[int, int]:
    """Find the structures that are the same as an earlier one.

    Those of the same composition are compared by pymatgen's `StructureMatcher`, which looks for a lattice and an origin
    in which they agree. Of two supercells whose atoms are off their places by more than some hundredths of an Angstrom,
    none being a supercell of the other, it may not find any.

    Parameters
    ----------
    structures : sequence of Atoms
        Periodic along all three axes.
    track : Track, optional
        How progress is shown.

    Returns
    -------
    dict of int to int
        Of each duplicate the first structure that it is the same as, which is none itself.

    Raises
    ------
    MissingExtraError
        pymatgen or spglib is not installed.
    """
    require("pymatgen")
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(
        ltol=LENGTH_TOLERANCE,
        stol=SITE_TOLERANCE,
        angle_tol=ANGLE_TOLERANCE,
        primitive_cell=False,
        scale=False,
        attempt_supercell=True,
    )
    kept: dict[Any, list[tuple[int, Any]]] = {}
    found: dict[int, int] = {}
    for number in track(range(len(structures)), "duplicates"):
        atoms = _reduce(structures[number])
        crystal, alike = _convert(atoms), kept.setdefault(_compose(atoms), [])
        original = next((earlier for earlier, other in alike if matcher.fit(crystal, other)), None)
        if original is None:
            alike.append((number, crystal))
        else:
            found[number] = original
    return found


def _reduce(atoms: Atoms) -> Atoms:
    try:
        return reduce_to_primitive(atoms, _NOISE)
    except StructureError:
        return atoms


def _compose(atoms: Atoms) -> tuple[tuple[str, int], ...]:
    counts = Counter(atoms.symbols)
    common = gcd(*counts.values())
    return tuple(sorted((symbol, count // common) for symbol, count in counts.items()))


def _convert(atoms: Atoms) -> Any:
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    return Structure(Lattice(atoms.cell.array), list(atoms.symbols), atoms.get_scaled_positions())

"""Table of all structures of a curation: what they are, and what became of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a structure; nothing where it was not looked at any further.

    Attributes
    ----------
    name, formula, space_group, crystal_system : str
    atoms : int or None
        In the primitive cell.
    limiting, largest : float or None
        Pore diameters, Angstrom; see `pores.PoreDiameters`.
    rank : int or None
        When it was chosen, from 1.
    bonded_like : str
        The first structure in which the same atoms are bonded; see `bonds.fingerprint_bonds`.
    dropped : str
        Why it was left out before the choice.
    """

    name: str
    formula: str = ""
    atoms: int | None = None
    space_group: str = ""
    crystal_system: str = ""
    limiting: float | None = None
    largest: float | None = None
    rank: int | None = None
    bonded_like: str = ""
    dropped: str = ""


_COLUMNS = (
    "name", "formula", "atoms", "space_group", "crystal_system", "pore_limiting_diameter", "largest_pore_diameter",
    "chosen", "bonded_like", "dropped",
)  # fmt: skip


def encode_table(rows: Sequence[Row]) -> bytes:
    """Return a CSV of all structures, diameters in Angstrom."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        sizes = (row.formula, row.atoms, row.space_group, row.crystal_system, row.limiting, row.largest)
        writer.writerow((row.name, *sizes, row.rank, row.bonded_like, row.dropped))
    return text.getvalue().encode()

"""What is doubtful about a lattice at which no commensurate mode is imaginary."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from phonopy_mlp.errors import StructureWarning


def warn_of_left_out(share: float, place: str) -> None:
    """Warn of modes that are imaginary between the commensurate q-points, and so are not in the sums over the mesh.

    Parameters
    ----------
    share : float
        Of the mesh's modes, besides the three translations.
    place : str
        Where the crystal is, such as "at a volume of 20 A^3".

    Warns
    -----
    StructureWarning
        There are any.

    """
    if share > 0:
        warnings.warn(
            f"{100 * share:.2g} % of the mesh's modes are imaginary {place}, though none is at the q-points that the "
            "supercell represents exactly: they are left out of all sums there. Compare a larger supercell.",
            StructureWarning,
            stacklevel=3,
        )


def warn_of_deformations(waves: int | None, strains: int | None, place: str) -> None:
    """Warn of a lattice that long acoustic waves or homogeneous strains would leave.

    Parameters
    ----------
    waves, strains : int or None
        Number of each that is unstable by force constants and energies.
    place : str
        Where the crystal is.

    Warns
    -----
    StructureWarning
        There are any.

    """
    if waves or strains:
        warnings.warn(
            f"{waves or 0} long acoustic waves and {strains or 0} homogeneous strains lower the energy {place}, though "
            "no mode is imaginary at the q-points that the supercell represents exactly: the lattice is not stable "
            "there, and its free energy means little. Choose smaller strains, or remove the instability first.",
            StructureWarning,
            stacklevel=3,
        )


def warn_of_doubts(doubts: Sequence[Mapping[str, Mapping[str, Any]]]) -> None:
    """Warn of force constants that are not sound, once for each check, with what it says where it is worst.

    Parameters
    ----------
    doubts : sequence of mapping
        Of each lattice, as of `Health.doubts`.

    Warns
    -----
    StructureWarning
        There are any.

    """
    for name in dict.fromkeys(name for each in doubts for name in each):
        found = [each[name] for each in doubts if name in each]
        worst = max(found, key=lambda doubt: doubt["value"])
        warnings.warn(
            f"At {len(found)} of {len(doubts)} lattices: {worst['warning']}",
            StructureWarning,
            stacklevel=3,
        )

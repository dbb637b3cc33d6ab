"""Isolated atoms, whose energies training from scratch starts from."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

#: Edges of the box of an atom, Angstrom; not alike, so that no symmetry is forced on a plane-wave code's density.
BOX = (15.0, 16.0, 17.0)

#: mace's trainer takes frames of one atom with this ``info["config_type"]`` for the energies E0 of the elements.
CONFIG_TYPE = "IsolatedAtom"


def make_isolated_atoms(frames: Sequence[Atoms]) -> list[Atoms]:
    """Make one frame of one atom in a large box, not periodic, for each element of the frames, by atomic number.

    Elements that are isolated in one of the frames already are left out.
    """
    there = {int(atoms.numbers[0]) for atoms in frames if is_isolated(atoms)}
    numbers = sorted({int(number) for atoms in frames for number in atoms.numbers} - there)
    isolated = []
    for number in numbers:
        atom = Atoms(numbers=[number], positions=[[edge / 2 for edge in BOX]], cell=BOX)
        atom.info.update(
            name=f"isolated-{atom.symbols[0]}", source="isolated", kind="isolated-atom", config_type=CONFIG_TYPE
        )
        isolated.append(atom)
    return isolated


def is_isolated(atoms: Atoms) -> bool:
    """Return whether a frame is an isolated atom."""
    return len(atoms) == 1 and atoms.info.get("config_type") == CONFIG_TYPE

"""Structures: reading, checking, and the only conversion between ASE's Atoms and phonopy's PhonopyAtoms."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from ase.io.formats import UnknownFileTypeError
from ase.neighborlist import natural_cutoffs, neighbor_list
from phonopy.structure.atoms import PhonopyAtoms

from phonopy_mlp.cif import check_cif
from phonopy_mlp.errors import StructureError, StructureWarning
from phonopy_mlp.files import is_file

MINIMUM_DISTANCE = 0.5
"""Atoms closer than this (A) are an error: no bond is shorter than 0.74 A (H2)."""

_LONGEST = 1000.0
"""Of cell vectors, A. Looking for neighbours in longer or flatter cells takes all memory."""

_BOND_SCALE = 1.2


def read_structure(path: str | Path) -> Atoms:
    """Read a structure file with ASE and check that phonons of it make sense.

    Parameters
    ----------
    path : str or Path
        Any format that ASE reads; of several images the last one is taken, as ASE does.

    Returns
    -------
    Atoms
        Periodic structure. Cell and positions in A.

    Raises
    ------
    StructureError
        The file is missing or does not parse, or `check_cif` or `check_structure` objects.

    """
    path = Path(path)
    check_exists(path)
    check_cif(path)
    atoms = parse_structure(path)
    check_structure(atoms, name=str(path))
    return bare(atoms)


def parse_structure(path: Path) -> Atoms:
    """Read a structure file as it is, unchecked.

    Raises
    ------
    StructureError
        It does not parse.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = read(path, do_not_split_by_at_sign=True)
    except UnknownFileTypeError as error:
        raise StructureError(
            f"'{path}' cannot be read", f"ASE does not know its format ({error})", "Give a CIF, POSCAR or extxyz file"
        ) from error
    except Exception as error:
        raise StructureError(
            f"'{path}' cannot be read",
            f"it does not parse ({f'{type(error).__name__}: {error}'.rstrip(': ')})",
            "Mend the file, or write it again with ASE or another program",
        ) from error
    assert isinstance(atoms, Atoms)
    return atoms


def check_exists(path: Path) -> None:
    """Raise `StructureError` where there is no such file."""
    if not is_file(path):
        raise StructureError(f"Structure file '{path}' was not found", "there is no such file", "Check the name")


def bare(atoms: Atoms) -> Atoms:
    """Return a copy with cell, positions, species and masses alone: no calculator, constraints or info."""
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True, masses=atoms.get_masses())


def with_volume(atoms: Atoms, volume: float) -> Atoms:
    """Return a copy scaled to a volume in A^3, lattice and positions alike; like `bare`."""
    scaled = bare(atoms)
    scaled.set_cell(atoms.cell.array * np.cbrt(volume / atoms.get_volume()), scale_atoms=True)
    return scaled


def check_structure(atoms: Atoms, *, name: str) -> None:
    """Raise `StructureError` for a structure that no phonon calculation can be made of; warn of loose molecules.

    Parameters
    ----------
    atoms : Atoms
        Structure as read, with ASE's ``occupancy`` info where a CIF states occupancies.
    name : str
        What to call it in messages.

    """
    if len(atoms) == 0:
        raise StructureError(f"'{name}' holds no atoms", "there is nothing to compute", "Check the file")
    volume = abs(np.linalg.det(atoms.cell.array))
    if not all(atoms.pbc) or volume < 1e-8:
        raise StructureError(
            f"'{name}' is not periodic in three directions",
            f"its pbc flags are {atoms.pbc.tolist()} and its cell volume is {volume:g} A^3",
            "Give a crystal with a full cell",
        )
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1)).tolist()
        raise StructureError(
            f"'{name}' holds coordinates that are not numbers", f"atoms {bad[:10]} or the cell", "Mend the file"
        )
    lengths, heights = atoms.cell.lengths(), 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    if lengths.max() > _LONGEST or heights.min() < MINIMUM_DISTANCE:
        raise StructureError(
            f"'{name}' has a cell that is none of a crystal",
            f"its longest vector is {lengths.max():.3g} A, and its closest faces are {heights.min():.3g} A apart",
            "Mend the file, or give the reduced cell",
        )
    if np.linalg.det(atoms.cell.array) < 0:
        raise StructureError(
            f"'{name}' has a left-handed cell",
            "phonopy and spglib work with right-handed ones",
            "Swap two of the cell vectors, and the coordinates with them",
        )
    if 0 in atoms.numbers:
        raise StructureError(
            f"'{name}' holds atoms of no element",
            f"{np.count_nonzero(atoms.numbers == 0)} are written as X",
            "Put an element in their place, or remove them",
        )
    _refuse_disorder(atoms.info.get("occupancy"), name)
    _refuse_overlaps(atoms, name)
    loose = loose_molecules(atoms)
    if loose:
        count = sum(loose.values())
        molecules = "a loose molecule" if count == 1 else f"{count} loose molecules"
        kinds = ", ".join(f"{count} x {formula}" for formula, count in loose.items())
        warnings.warn(
            f"'{name}' holds {molecules} in its pores ({kinds}), and every atom is kept; "
            "remove them if the empty framework is meant.",
            StructureWarning,
            stacklevel=3,
        )


def _refuse_disorder(occupancy: Mapping[str, Mapping[str, float]] | None, name: str) -> None:
    if not occupancy:
        return
    partial = {
        symbol: value for site in occupancy.values() for symbol, value in site.items() if len(site) > 1 or value < 0.999
    }
    if partial:
        sites = ", ".join(f"{symbol} {value:g}" for symbol, value in sorted(partial.items()))
        raise StructureError(
            f"'{name}' is disordered",
            f"it has partially occupied sites ({sites})",
            "Give an ordered structure: choose one of the alternatives of each disordered group",
        )


def _refuse_overlaps(atoms: Atoms, name: str) -> None:
    first, second, distance = neighbor_list("ijd", atoms, MINIMUM_DISTANCE)
    if len(first):
        k = int(np.argmin(distance))
        i, j = int(first[k]), int(second[k])
        raise StructureError(
            f"'{name}' has atoms on top of each other",
            f"{atoms.symbols[i]} {i} and {atoms.symbols[j]} {j} are {distance[k]:.3f} A apart "
            f"(less than {MINIMUM_DISTANCE} A)",
            "Remove duplicate or disordered atoms",
        )


def loose_molecules(atoms: Atoms) -> dict[str, int]:
    """Return the molecules bonded to nothing else, when there is a framework beside them.

    Parameters
    ----------
    atoms : Atoms
        Periodic structure.

    Returns
    -------
    dict
        Formula (Hill order) to number of molecules per cell. Empty for a crystal of molecules alone.

    """
    components = _bonded(atoms)
    finite = [members for members, is_finite in components if is_finite]
    if len(finite) == len(components):
        return {}
    found: dict[str, int] = {}
    for members in finite:
        formula = atoms[members].get_chemical_formula()
        found[formula] = found.get(formula, 0) + 1
    return found


def _bonded(atoms: Atoms) -> list[tuple[list[int], bool]]:
    """Return the atoms of each bonded component, and whether it ends rather than going on from cell to cell."""
    first, second, shift = neighbor_list("ijS", atoms, natural_cutoffs(atoms, mult=_BOND_SCALE))
    start = np.searchsorted(first, np.arange(len(atoms) + 1))  # bonds come sorted by their first atom
    cells = np.zeros((len(atoms), 3), dtype=int)
    label = np.full(len(atoms), -1)
    components: list[list[int]] = []
    for root in range(len(atoms)):
        if label[root] >= 0:
            continue
        label[root] = len(components)
        members = [root]
        for atom in members:  # which grows meanwhile
            for bond in range(start[atom], start[atom + 1]):
                other = int(second[bond])
                if label[other] < 0:
                    label[other] = len(components)
                    cells[other] = cells[atom] + shift[bond]
                    members.append(other)
        components.append(members)
    # A bond that leads to another image of an atom than the way that was taken to it goes round the cell.
    around = (cells[first] + shift != cells[second]).any(axis=1)
    endless = set(label[first[around]].tolist())
    return [(sorted(members), k not in endless) for k, members in enumerate(components)]


def check_elements(atoms: Atoms, description: Mapping[str, Any]) -> None:
    """Raise `StructureError` for elements that a calculator's description does not list."""
    known = description.get("elements")
    if known is None:
        return
    missing = sorted(set(atoms.get_chemical_symbols()) - set(known))
    if missing:
        raise StructureError(
            f"The model '{description.get('name')}' lacks {', '.join(missing)}",
            f"it knows {_shortened(known)}",
            "Choose a model that covers every element of the structure",
        )


def _shortened(symbols: Any, most: int = 30) -> str:
    symbols = list(symbols)
    return ", ".join(symbols[:most]) + (f" and {len(symbols) - most} more" if len(symbols) > most else "")


def to_phonopy(atoms: Atoms) -> PhonopyAtoms:
    """Return phonopy's cell of an ASE structure (A, same order of atoms, ASE's masses)."""
    return PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(wrap=False),
        masses=atoms.get_masses(),
    )


def from_phonopy(cell: PhonopyAtoms) -> Atoms:
    """Return the ASE structure of a phonopy cell (A, same order of atoms, phonopy's masses)."""
    return Atoms(
        numbers=cell.numbers, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True, masses=cell.masses
    )


def structure_digest(atoms: Atoms) -> str:
    """Return ``sha256:...`` of species, cell and positions (A, rounded to 1e-10)."""
    digest = hashlib.sha256()
    for array in (atoms.numbers.astype("<i8"), _rounded(atoms.cell.array), _rounded(atoms.positions)):
        digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()}"


def _rounded(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(np.round(array, 10) + 0.0, dtype="<f8")

"""The structure, to be turned."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors

from phonopy_mlp.compare.matching import wrapped
from phonopy_mlp.files import file_digest
from phonopy_mlp.inputs import looks_like_yaml
from phonopy_mlp.output import RELAXED_FILE, STABILISED_FILE
from phonopy_mlp.report.chart import rounded
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import table
from phonopy_mlp.report.section import Section
from phonopy_mlp.structures import from_phonopy, read_structure
from phonopy_mlp.symmetry import LOOSE, TIGHT, find_space_group

_SAME = 1e-3
"""Structures whose cells (Å and degrees) and positions (Å) differ by less are shown once."""


def make(run: FinishedRun) -> Section | None:
    """Return the structures of the folder, each once, the one that phonons were computed of first."""
    found: dict[str, Atoms] = {}
    for name, atoms in _structures(run):
        if not any(same_cell(atoms, other) for other in found.values()):
            found[name] = atoms
    if not found:
        return None
    first = next(iter(found.values()))
    return Section(
        "structure",
        "Structure",
        before='<div class="viewer" id="structure-viewer"></div>',
        after=table(
            [_row(name, atoms) for name, atoms in found.items()],
            head=("", "atoms", f"at {TIGHT:g} Å", f"at {LOOSE:g} Å", "V (Å³)", "a, b, c (Å)", "α, β, γ (°)"),
        ),
        facts=(
            ("Formula of the cell", first.get_chemical_formula()),
            ("Space group", _group(first, LOOSE)),
            ("Volume of the cell", f"{first.get_volume():.2f} Å³"),
        ),
        payload={"structures": [{"label": name, **viewed(atoms)} for name, atoms in found.items()]},
    )


def viewed(atoms: Atoms) -> Mapping[str, Any]:
    """Return a structure as the viewer takes it, and the colours of its elements."""
    symbols = atoms.get_chemical_symbols()
    kinds = dict(zip(symbols, atoms.numbers.tolist(), strict=True))
    return {
        "symbols": symbols,
        "cell": rounded(atoms.cell.array.ravel(), 8),
        "positions": np.round(atoms.positions, 4).tolist(),
        "colours": {symbol: _colour(number) for symbol, number in kinds.items()},
        "radius": float(max(covalent_radii[list(kinds.values())])),
    }


def _structures(run: FinishedRun) -> Iterator[tuple[str, Atoms]]:
    if run.harmonic is not None:
        yield "phonons", from_phonopy(run.harmonic.phonon.unitcell)
    for path in (run.folder / RELAXED_FILE, run.folder / STABILISED_FILE):
        if path.is_file() and any(digests.get(path.name) == file_digest(path) for digests in run.digests()):
            yield path.stem, _read(path)
    for record in run.records.values():
        given = record.get("input") or {}
        path = run.folder / str(given.get("file"))
        if path.is_file() and not looks_like_yaml(path) and file_digest(path) == given.get("file_digest"):
            yield path.name, _read(path)


def _read(path: Path) -> Atoms:
    # What there is to warn of was said, and recorded, when the structure was used.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_structure(path)


def same_cell(one: Atoms, other: Atoms) -> bool:
    """Return whether two cells are the same, in whatever orientation and order of atoms they are written."""
    if sorted(one.numbers) != sorted(other.numbers):
        return False
    if not np.allclose(one.cell.cellpar(), other.cell.cellpar(), rtol=0, atol=_SAME):
        return False
    for element in set(one.numbers):
        ours, theirs = (each.get_scaled_positions(wrap=False)[each.numbers == element] for each in (one, other))
        ways = wrapped(theirs[None] - ours[:, None]) @ other.cell.array
        if np.linalg.norm(ways, axis=-1).min(axis=1).max() > _SAME:
            return False
    return True


def _row(name: str, atoms: Atoms) -> tuple[str, ...]:
    lengths, angles = atoms.cell.lengths(), atoms.cell.angles()
    return (
        name,
        str(len(atoms)),
        _group(atoms, TIGHT),
        _group(atoms, LOOSE),
        f"{atoms.get_volume():.3f}",
        ", ".join(f"{length:.4f}" for length in lengths),
        ", ".join(f"{angle:.3f}" for angle in angles),
    )


def _group(atoms: Atoms, tolerance: float) -> str:
    return str(find_space_group(atoms, tolerance)).partition(" at ")[0]


def _colour(number: int) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in jmol_colors[number])

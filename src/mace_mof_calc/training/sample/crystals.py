"""The crystals that frames are made from, and what frames are called."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import numpy as np
from ase import Atoms

from ...errors import TrainingError
from ..hessians import HESSIAN, attach_hessian, get_hessian

_MANY = 40


def prepare_crystals(structures: Sequence[Atoms]) -> list[Atoms]:
    """Return crystals with nothing but their elements, positions, cell, Hessian, and a name, ``info["source"]``.

    The name is that of ``info["source"]`` or ``info["name"]``, else the formula and the place in the sequence.

    Raises
    ------
    TrainingError
        One is not periodic along all axes, or two have the same name.
    """
    crystals: dict[str, Atoms] = {}
    for number, atoms in enumerate(structures):
        fallback = f"{atoms.get_chemical_formula()}-{number}"
        source = str(atoms.info.get("source", atoms.info.get("name", fallback)))
        if not atoms.pbc.all() or atoms.cell.rank < 3:
            raise TrainingError(
                f"{source} is not periodic along all axes", f"It has pbc {atoms.pbc.tolist()}", "Give crystals"
            )
        if source in crystals:
            raise TrainingError(
                f"Two crystals are called {source}", "", 'Give each its own name, info["source"], or none of them one'
            )
        crystals[source] = Atoms(
            atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True, info={"source": source}
        )
        if HESSIAN in atoms.arrays:
            crystals[source] = attach_hessian(crystals[source], get_hessian(atoms))
    return list(crystals.values())


def check_elements(crystals: Sequence[Atoms], name: str, known: Collection[str]) -> None:
    """Refuse crystals with an element that the model or calculator `name` does not know.

    Raises
    ------
    TrainingError
        The message has the elements and the crystals.
    """
    for crystal in crystals:
        if unknown := sorted(set(crystal.symbols) - set(known)):
            raise TrainingError(
                f"{name} does not know {', '.join(unknown)} of {crystal.info['source']}",
                f"Its elements are {' '.join(known)}" if len(known) < _MANY else "",
                "Name another, or leave such crystals out",
            )


def make_frame(atoms: Atoms, source: str, kind: str, label: str) -> Atoms:
    """Return a structure alone, with the names that a frame carries; `label` tells it from others of its kind."""
    info = {"source": source, "kind": kind, "name": f"{source}-{kind}-{label}"}
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True, info=info)


def make_stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return random numbers of their own for each sequence of names, whatever else is drawn."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype=np.uint32)])

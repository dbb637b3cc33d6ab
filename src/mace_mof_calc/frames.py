"""Files of structures and of their labels: extended XYZ with the names that mace trains on.

A labelled frame carries ``info["REF_energy"]`` (eV), ``arrays["REF_forces"]`` (eV/Angstrom, shape=(natoms, 3)) and
``info["REF_stress"]`` (eV/Angstrom^3, shape=(6,), ASE's sign and Voigt order). ASE keeps these as they are, where it
would move ``energy`` and ``forces`` to a calculator. Frames also say where they come from: ``info["source"]`` is the
name of their crystal, ``info["kind"]`` how they were made, and ``info["name"]`` is their own, unique in its file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import iread, write
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict
from ase.stress import full_3x3_to_voigt_6_stress

from .errors import FramesError
from .files import write_file

Array = np.ndarray[Any, Any]

WORDS = frozenset({"name", "source", "kind"})
"""What a frame says in words, which extended XYZ takes for numbers where they look like some."""

ENERGY, FORCES, STRESS = "REF_energy", "REF_forces", "REF_stress"


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What was computed for a frame.

    Attributes
    ----------
    energy : float
        eV.
    forces : ndarray, shape=(natoms, 3)
        eV/Angstrom.
    stress : ndarray, shape=(6,), or None
        eV/Angstrom^3, ASE's sign and Voigt order; None where the structure is not periodic along all axes.
    """

    energy: float
    forces: Array
    stress: Array | None


def read_frames(path: Path) -> list[Atoms]:
    """Read structures, with whatever they carry; their `WORDS` are strings.

    Raises
    ------
    FramesError
        There is no such file, ASE cannot read it, or it holds no structure.
    """
    try:
        frames = list(iread(path, index=":"))
    except Exception as error:  # each of ASE's readers raises what it likes
        raise FramesError(
            f"{path} cannot be read", f"{type(error).__name__}: {error}", "Give an extxyz file, or another of ASE's"
        ) from error
    if not frames or not all(len(atoms) for atoms in frames):
        raise FramesError(f"{path} holds no structure, or one without atoms", "", "Give a file with one or more")
    for atoms in frames:
        for name in WORDS & atoms.info.keys():
            atoms.info[name] = _as_word(atoms.info[name])
    return frames


def _as_word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value)


def write_frames(path: Path, frames: Sequence[Atoms]) -> None:
    """Write structures with all they carry but calculators; the file appears complete or not at all."""
    write_file(path, encode_frames(frames))


def encode_frames(frames: Sequence[Atoms]) -> bytes:
    """Return what `write_frames` writes."""
    text = io.StringIO()
    write(text, [_with_words(atoms) for atoms in frames], format="extxyz", write_results=False)
    return text.getvalue().encode()


def _with_words(atoms: Atoms) -> Atoms:
    """Return a copy whose `WORDS` are written so that they are read as they are."""
    written: Atoms = atoms.copy()
    for name in WORDS & atoms.info.keys():
        word = str(atoms.info[name])
        # ASE reads 007 or 1_1 as other numbers, T as a flag, and nothing as what comes next, but not so within JSON.
        if _reread(word) != word or not word.isprintable():
            word = f"_JSON {json.dumps(word, ensure_ascii=False)}"
        written.info[name] = _escape(word)
    return written


def _reread(word: str) -> str | None:
    """Return the word that is read where ASE has written one; None for an error."""
    try:
        return _as_word(key_val_str_to_dict(key_val_dict_to_str({"word": _escape(word), "next": "x"}))["word"])
    except (ValueError, TypeError):
        return None


def _escape(word: str) -> str:
    """Do what ASE's reader of extended XYZ undoes, and its writer does not do."""
    return word.replace("\\", "\\\\")


def attach_labels(atoms: Atoms, labels: Labels) -> Atoms:
    """Return a copy of a structure that carries labels."""
    labelled: Atoms = atoms.copy()
    labelled.info[ENERGY] = labels.energy
    labelled.arrays[FORCES] = np.array(labels.forces)
    if labels.stress is not None:
        labelled.info[STRESS] = np.array(labels.stress)
    return labelled


def get_labels(atoms: Atoms) -> Labels:
    """Return the labels of a frame.

    Raises
    ------
    FramesError
        It has no energy or no forces, or they are not finite, or of other sizes.
    """
    missing = [name for name, place in ((ENERGY, atoms.info), (FORCES, atoms.arrays)) if name not in place]
    title = atoms.info.get("name", atoms.get_chemical_formula())
    if missing:
        raise FramesError(
            f"Frame {title} has no {' and no '.join(missing)}", "It was not labelled", "Label it with 'mace-mof label'"
        )
    stress = atoms.info.get(STRESS)
    try:
        found = Labels(
            float(atoms.info[ENERGY]),
            atoms.arrays[FORCES].astype(float).reshape(len(atoms), 3),
            None if stress is None else _to_voigt(stress),
        )
    except (TypeError, ValueError) as error:
        raise FramesError(
            f"The labels of frame {title} are not what they are called", str(error), "Label it again"
        ) from error
    values = np.concatenate([[found.energy], found.forces.ravel(), [] if found.stress is None else found.stress])
    if not np.isfinite(values).all():
        raise FramesError(f"The labels of frame {title} are not finite", "", "Remove it, or label it again")
    return found


def _to_voigt(stress: Array) -> Array:
    """Return the six components of a stress; other programs write all nine."""
    values: Array = np.ravel(stress).astype(float)
    return values if len(values) == 6 else full_3x3_to_voigt_6_stress(values.reshape(3, 3))

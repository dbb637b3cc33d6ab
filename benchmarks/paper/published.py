"""Published numbers, from the folder of reference data, where it is present."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.io import read
from numpy.typing import NDArray

from phonopy_mlp.compare.dos import TotalDos, read_total_dos
from phonopy_mlp.phonons import BandStructure

METHODS = ("DFT", "GFN1-xTB", "MACE-MP-0b", "MACE-MP-MOF0", "MACE-MP-MOF0-v2")
"""Order of the frames in ``structures/*_optimized_5methods.extxyz``."""

SYMPREC = 1e-2
"""At which the published cells have the space groups of the paper, A."""

_FOLDERS = {"0b": "MACE-MP-0b", "mof0": "MACE-MP-MOF0", "mof0-v2": "MACE-MP-MOF0-v2"}
"""Of the phonons of a framework."""


@dataclass(frozen=True)
class Published:
    """The folder of reference data, or nothing where `folder` is None."""

    folder: Path | None

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of ``paper_tables/NAME.csv``; none where it is not present."""
        path = self._find(f"paper_tables/{name}.csv")
        if path is None:
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def structures(self, framework: str) -> dict[str, Atoms]:
        """Return the optimised structures of a framework by method; none where they are not present."""
        path = self._find(f"structures/{framework}_optimized_5methods.extxyz")
        return {} if path is None else dict(zip(METHODS, read(path, ":"), strict=True))

    def dos(self, framework: str) -> dict[str, TotalDos]:
        """Return the total densities of states of a framework by method, per primitive cell, those that are present.

        The files are per published cell, which has two primitive cells in the case of MIL-53.
        """
        found = {
            "DFT": self._find(f"phonons/DFT_DOS/{framework}-total_dos.dat.xz"),
            **self._of_models(framework, "dos.dat.xz"),
        }
        structures = self.structures(framework)
        return {
            method: _per_primitive(read_total_dos(path), structures[method])
            for method, path in found.items()
            if path is not None
        }

    def thermal(self, framework: str) -> dict[str, NDArray[Any]]:
        """Return T (K), Cv (J/K/mol), F (kJ/mol), S (J/K/mol) as columns by method, those that are present."""
        found = self._of_models(framework, "thermal.dat")
        return {method: np.loadtxt(path) for method, path in found.items() if path is not None}

    def bands(self, framework: str) -> dict[str, BandStructure]:
        """Return the bands of a framework by method, those that are present, in units of its published cell."""
        structures = self.structures(framework)
        found = self._of_models(framework, "bands.npz")
        return {method: _read_bands(path, structures[method]) for method, path in found.items() if path is not None}

    def _of_models(self, framework: str, name: str) -> dict[str, Path | None]:
        return {method: self._find(f"phonons/{framework}/{folder}/{name}") for folder, method in _FOLDERS.items()}

    def _find(self, name: str) -> Path | None:
        return self.folder / name if self.folder is not None and (self.folder / name).is_file() else None


def _per_primitive(dos: TotalDos, atoms: Atoms) -> TotalDos:
    _, positions, _ = spglib.find_primitive((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), SYMPREC)
    return TotalDos(dos.frequencies, dos.density * len(positions) / len(atoms))


def _read_bands(path: Path, atoms: Atoms) -> BandStructure:
    with np.load(path) as data:
        ends = np.cumsum(data["segment_nqpoint"])[:-1]
        segments = np.split(data["q"], ends)
        frequencies = np.split(data["frequency"], ends)
        labels = [tuple(_in_tex(str(label)) for label in pair) for pair in data["labels"]]
    start, distances = 0.0, []
    for segment in segments:
        steps = np.linalg.norm(np.diff(segment, axis=0) @ atoms.cell.reciprocal().array, axis=1)
        distances.append(start + np.concatenate([[0.0], np.cumsum(steps)]))
        start = float(distances[-1][-1])
    return BandStructure(tuple(distances), tuple(frequencies), tuple(segments), tuple(labels))


def _in_tex(label: str) -> str:
    return f"${label.replace('Gamma', chr(92) + 'Gamma')}$"

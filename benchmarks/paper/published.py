"""Published numbers, from the folder of reference data, where it is present."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms
from ase.io import read

METHODS = ("DFT", "GFN1-xTB", "MACE-MP-0b", "MACE-MP-MOF0", "MACE-MP-MOF0-v2")
"""Order of the frames in ``structures/*_optimized_5methods.extxyz``."""


@dataclass(frozen=True)
class Published:
    """The folder of reference data, or nothing where `folder` is None."""

    folder: Path | None

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of ``paper_tables/NAME.csv``; none where the folder is not present."""
        if self.folder is None:
            return []
        with (self.folder / "paper_tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def structures(self, framework: str) -> dict[str, Atoms]:
        """Return the optimised structures of a framework by method; none where they are not present."""
        if self.folder is None:
            return {}
        path = self.folder / "structures" / f"{framework}_optimized_5methods.extxyz"
        if not path.is_file():
            return {}
        return dict(zip(METHODS, read(path, ":"), strict=True))

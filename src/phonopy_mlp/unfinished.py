"""Finished parts of a calculation that is not finished yet, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.files import check_folder, replacing
from phonopy_mlp.provenance import plain
from phonopy_mlp.registry import describe

Array = np.ndarray[Any, Any]

UNFINISHED_FOLDER = "phonopy_mlp_unfinished"


class Section:
    """Parts that belong to one question: the same calculator, settings and structures.

    Parameters
    ----------
    path : Path
        Folder of this section alone.

    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> Mapping[str, Array] | None:
        """Return the arrays of a part, or None where it has not been finished, or cannot be read."""
        try:
            with (self.path / f"{name}.npz").open("rb") as file, np.lib.npyio.NpzFile(file) as data:
                arrays = {key: data[key] for key in data}
        except Exception:  # a damaged archive raises whatever its reader raises
            return None
        return arrays if all(isinstance(each, np.ndarray) for each in arrays.values()) else None

    def keep(self, name: str, **arrays: Array | float) -> None:
        """Keep the arrays of a finished part.

        Raises
        ------
        OutputError
            The folder cannot be written.

        """
        check_folder(self.path)
        # NumPy 1.26 takes every keyword for the name of an array, allow_pickle too.
        kept: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
        with replacing(self.path / f"{name}.npz") as path, path.open("wb") as file:
            np.savez(file, **kept)


class Unfinished:
    """The folder of all parts of a run.

    Parameters
    ----------
    folder : Path
        Made when the first part is kept.
    **origin
        What else belongs to every question, such as the name a calculator was made from: a calculator need not say all
        that decides its results.

    """

    def __init__(self, folder: Path, **origin: Any) -> None:
        self.folder = folder
        self._origin = origin
        self._sections: list[Section] = []
        self._parts: list[Unfinished] = []

    def section(self, calculator: BaseCalculator, **question: Any) -> Section:
        """Return the section of a question, empty where nothing of it has been finished.

        Parameters
        ----------
        calculator : BaseCalculator
            Its description and its parameters are part of the question.
        **question
            Whatever else decides the answer: numbers, text, arrays, and lists and mappings of these.

        """
        own = {"calculator": describe(calculator), "parameters": getattr(calculator, "parameters", {})}
        known = {"question": question, "origin": self._origin, **own}
        text = json.dumps(plain(known), sort_keys=True)
        section = Section(self.folder / hashlib.sha256(text.encode()).hexdigest()[:16])
        self._sections.append(section)
        return section

    def part(self, name: str, **origin: Any) -> Unfinished:
        """Return a folder within this one, for work with an origin that differs in something."""
        part = Unfinished(self.folder / name, **{**self._origin, **origin})
        self._parts.append(part)
        return part

    def remove(self) -> None:
        """Remove the sections that this run asked for, and the folder if no other run has left any."""
        for part in self._parts:
            part.remove()
        for section in self._sections:
            shutil.rmtree(section.path, ignore_errors=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

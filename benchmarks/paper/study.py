"""What all drivers share: a model, frameworks, the runs on them, and where tables and figures go."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms
from ase.io import read
from matplotlib.figure import Figure
from phonopy import Phonopy
from rows import write_rows

from paper.gfn1 import Reference
from paper.published import Published
from phonopy_mlp.cli.main import main
from phonopy_mlp.compare.reading import read_phonons
from phonopy_mlp.plot import write_figure


@dataclass(frozen=True)
class Study:
    """One model on some frameworks.

    Attributes
    ----------
    model : str
        Registered name or model file.
    frameworks : dict of str to Path
        Structure file of each.
    work : Path
        Folder of the runs; what is finished there is not done again.
    out : Path
        Folder of tables and figures.
    published : Published
    reference : Reference
        GFN1-xTB.
    quick : bool
        Smaller meshes and supercells, to see that everything runs.
    failures : dict
        What could not be done, and why: rows of ``failures.csv``, by framework and command.

    """

    model: str
    frameworks: Mapping[str, Path]
    work: Path
    out: Path
    published: Published
    reference: Reference
    quick: bool
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def dim(self) -> tuple[str, ...]:
        """Words after ``--dim``."""
        return ("1", "1", "1") if self.quick else ("2", "2", "2")

    @property
    def mesh(self) -> tuple[int, int, int]:
        """Sampling mesh."""
        return (3, 3, 3) if self.quick else (11, 11, 11)

    def run(self, framework: str, command: str, *options: str) -> Path | None:
        """Run a command of ``phonopy-mlp`` on a framework, unless it was; return its folder, or None if it failed."""
        folder = self.work / Path(self.model).name / framework / command
        folder.mkdir(parents=True, exist_ok=True)
        words = [command, "--mlp", self.model, os.path.relpath(self.frameworks[framework], folder), "-q", *options]
        name = "phonopy_mlp.yaml" if command == "run" else f"phonopy_mlp-{command}.yaml"
        if (folder / name).is_file():
            record = yaml.safe_load((folder / name).read_text(encoding="utf-8"))["phonopy_mlp"]
            if record["command"] == ["phonopy-mlp", *words]:
                return folder
        said = io.StringIO()
        with chdir(folder), redirect_stderr(said):
            status = main(words)
        if status != 0:
            self.failures[framework, command] = said.getvalue().strip().splitlines()[-1]
            return None
        return folder

    def relaxed(self, framework: str) -> Atoms | None:
        """Return a framework at the model's minimum, space group free; None where it was not reached."""
        folder = self.run(framework, "relax")
        return None if folder is None else read(folder / "relaxed.cif")

    def phonons(self, framework: str) -> Phonopy | None:
        """Return force constants at the model's minimum, projected onto the space group that it has within 0.01 A."""
        folder = self.run(framework, "run", "--relax", "--symmetrise", "--dim", *self.dim)
        return None if folder is None else read_phonons(folder)

    def write_table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows as ``NAME.csv``, with the columns of all of them; nothing where there are none."""
        listed = list(rows)
        if not listed:
            print(f"{name}: nothing to write")
            return
        write_rows(self.out / f"{name}.csv", listed)

    def write_figure(self, name: str, figure: Figure) -> None:
        """Write a figure as ``NAME.png``."""
        write_figure(figure, self.out / f"{name}.png")

    def labelled(self) -> Sequence[str]:
        """Return the frameworks that the reference knows."""
        return [name for name in self.frameworks if self.reference.knows(name)]

    def names(self, *wanted: str) -> Sequence[str]:
        """Return those of the wanted frameworks that are in the study, or all of them where none are wanted."""
        return [name for name in self.frameworks if not wanted or name in wanted]

"""What all drivers share: a model, frameworks, the runs on them, and where tables and figures go."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import read
from matplotlib.figure import Figure
from phonopy import Phonopy
from rows import write_rows

from paper.gfn1 import Reference
from paper.published import Published
from phonopy_mlp.cli.main import main
from phonopy_mlp.compare.reading import read_phonons
from phonopy_mlp.errors import PhonopyMlpError
from phonopy_mlp.files import file_digest
from phonopy_mlp.output import RELAXED_FILE
from phonopy_mlp.plot import write_figure
from phonopy_mlp.provenance import plain, read_record
from phonopy_mlp.registry import describe, get_calculator, is_model_file
from phonopy_mlp.unfinished import UNFINISHED_FOLDER

_INTERRUPTED = 130


class NotDone(Exception):
    """A run that failed; its reason is among the study's failures."""


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
    labels : Path or None
        Folder of labelled configurations, instead of GFN1-xTB's.
    qha_strain : float or None
        Largest strain of the cell lengths in the expansion; None for the model's default.
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
    labels: Path | None = None
    qha_strain: float | None = None
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What tables and figures call the model."""
        return Path(self.model).stem if is_model_file(self.model) else self.model

    @property
    def dim(self) -> tuple[str, ...]:
        """Words after ``--dim``."""
        return ("1", "1", "1") if self.quick else ("2", "2", "2")

    @property
    def mesh(self) -> tuple[int, int, int]:
        """Sampling mesh."""
        return (3, 3, 3) if self.quick else (11, 11, 11)

    @contextmanager
    def trying(self, framework: str, what: str) -> Iterator[None]:
        """Keep the reason why something cannot be done with a framework, so that the others are not stopped."""
        with suppress(NotDone):
            try:
                yield
            except PhonopyMlpError as error:
                self.failures[framework, what] = str(error)

    def run(self, framework: str, command: str, *options: str) -> Path:
        """Run a command of ``phonopy-mlp`` on a framework, unless it was, and return its folder.

        All but the relaxation itself starts from where that ends.

        Raises
        ------
        NotDone
            It failed, now or before.

        """
        if (framework, command) in self.failures:
            raise NotDone
        given = self.frameworks[framework] if command == "relax" else self.run(framework, "relax") / RELAXED_FILE
        folder = self.work / self.title / framework / command
        folder.mkdir(parents=True, exist_ok=True)
        words = [command, "--mlp", self.model, os.path.relpath(given, folder), "-q", *options]
        if self._is_finished(folder, words, given):
            return folder
        said = io.StringIO()
        with chdir(folder), redirect_stderr(said):
            status = main(words)
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
        if status != 0:
            self.failures[framework, command] = (said.getvalue().strip() or f"status {status}").splitlines()[-1]
            raise NotDone
        # What is still there belongs to other questions, and would make this answer look unfinished.
        shutil.rmtree(folder / UNFINISHED_FOLDER, ignore_errors=True)
        return folder

    def _is_finished(self, folder: Path, words: Sequence[str], given: Path) -> bool:
        """Return whether a run ended well: a record is there from the first step on, and an entry for each that is."""
        command = words[0]
        path = folder / ("phonopy_mlp.yaml" if command == "run" else f"phonopy_mlp-{command}.yaml")
        if not path.is_file() or (folder / UNFINISHED_FOLDER).exists():
            return False
        record = read_record(path)
        return (
            record["command"] == ["phonopy-mlp", *words]
            and ("force_constants" if command == "run" else command) in record["steps"]
            and record["calculator"] == _description(self.model)
            and record["input"]["file_digest"] == file_digest(given)
        )

    def relaxed(self, framework: str) -> Atoms:
        """Return a framework at the model's minimum, space group free."""
        found: Atoms = read(self.run(framework, "relax") / RELAXED_FILE)
        return found

    def phonons(self, framework: str) -> Phonopy:
        """Return force constants at the model's minimum, projected onto the space group that it has within 0.01 A."""
        return read_phonons(self.run(framework, "run", "--relax", "--symmetrise", "--dim", *self.dim))

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


@cache
def _description(model: str) -> Any:
    """Return what a run's record says of a model, its digest among it."""
    return plain(describe(get_calculator(model)))

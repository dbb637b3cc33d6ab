"""What a command has done so far: said on the terminal, and left in ``phonopy_mlp.yaml``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ase import Atoms

from phonopy_mlp.cli.progress import print_line
from phonopy_mlp.files import file_digest, noting
from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.health import Health
from phonopy_mlp.imaginary import CommensurateModes
from phonopy_mlp.inputs import RunInput
from phonopy_mlp.provenance import PROVENANCE_FILE, Provenance, write_provenance
from phonopy_mlp.relax import RelaxResult
from phonopy_mlp.structures import structure_digest
from phonopy_mlp.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class About:
    """What the provenance file of a command says besides what was done.

    Attributes
    ----------
    given : RunInput
        What the command started from.
    calculator : mapping
        What the calculator says of itself.
    settings : mapping
        Every setting in force.
    name : str
        Of the file.

    """

    given: RunInput
    calculator: Mapping[str, Any]
    settings: Mapping[str, Any]
    name: str = PROVENANCE_FILE


@dataclass(slots=True)
class RunRecord:
    """What was done so far, and what the user was warned of.

    Attributes
    ----------
    command : sequence of str
        The command line, program name first.
    folder : Path
        Where the results go.
    unfinished : Unfinished
        What is finished of them already.
    quiet : bool
        Print nothing but warnings, errors, and what was asked for.
    steps : dict
        An entry for each step done.
    warnings : list of str
        In order, each once.
    domain : dict or None
        What of the structure is outside of the calculator's domain; None where that is not known.
    started : datetime
        When the command began, in UTC.
    about : About or None
        What else the provenance file says; None where there is to be none yet.
    written : list of Path
        Files since the last step.

    """

    command: Sequence[str]
    folder: Path
    unfinished: Unfinished
    quiet: bool
    steps: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    domain: dict[str, Any] | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    about: About | None = None
    written: list[Path] = field(default_factory=list)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep which files are written, and each warning, which is printed once, in a line of its own."""
        with warnings.catch_warnings(), noting() as self.written:
            warnings.showwarning = self._show
            for shown in (UserWarning, RuntimeWarning):
                warnings.simplefilter("always", shown)
            for hidden in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", hidden)
            yield

    def say(self, text: str) -> None:
        """Print a line, at once, unless the user wants quiet."""
        if not self.quiet:
            print_line(text, sys.stdout)

    def _show(self, message: Warning | str, *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in self.warnings:
            self.warnings.append(text)
            print_line(f"Warning: {text}", sys.stderr)

    def add(self, name: str, result: Mapping[str, Any], seconds: float | None = None) -> None:
        """Record a finished step, at once also in the provenance file: what comes later may fail.

        The files that were written since the step before are its own, and their digests tell them from others.
        """
        own = None if self.about is None else self.about.name
        names = sorted({path.name for path in self.written if path.parent == self.folder and path.is_file()} - {own})
        self.written.clear()
        files = {"files": {each: file_digest(self.folder / each) for each in names}} if names else {}
        self.steps[name] = {**result, **files, **({} if seconds is None else {"seconds": round(seconds, 2)})}
        self.write()

    def add_relaxation(self, name: str, result: RelaxResult, seconds: float) -> None:
        """Record a relaxation."""
        found = {
            "fmax": result.fmax,
            "cell": result.cell,
            "pressure": result.pressure,
            "converged": result.converged,
            "steps": result.steps,
            "energy": result.energy,
            "energy_change": result.energy_change,
            "volume_change": result.volume_change,
            "residual_force": result.residual_force,
            "residual_stress": result.residual_stress,
            "space_groups_before": [str(found) for found in result.initial_groups],
            "space_groups_after": [str(found) for found in result.final_groups],
        }
        self.add(name, found, seconds)

    def add_force_constants(
        self, atoms: Atoms, result: ForceConstantsResult, modes: CommensurateModes, health: Health
    ) -> None:
        """Record force constants of a structure and how sound they are; their files come with the record."""
        self.steps["force_constants"] = {
            "method": result.method,
            "structure_digest": structure_digest(atoms),
            "evaluations": result.evaluations,
            "primitive_atoms": len(result.phonon.primitive),
            "lowest_commensurate_frequency": modes.lowest,
            "imaginary_commensurate_modes": modes.count_imaginary(),
            "health": health.describe(),
            "seconds": round(result.seconds, 2),
        }

    def write(self) -> None:
        """Write the provenance file, if it is known already what it is about."""
        if self.about is None:
            return
        given = self.about.given
        provenance = Provenance(
            command=tuple(self.command),
            started=self.started,
            settings=self.about.settings,
            input={
                "file": str(given.path),
                "file_digest": given.digest,
                "formula": given.atoms.get_chemical_formula(),
                "atoms": len(given.atoms),
                "structure_digest": structure_digest(given.atoms),
            },
            calculator=self.about.calculator,
            steps=self.steps,
            domain=self.domain,
            warnings=tuple(self.warnings),
        )
        write_provenance(provenance, self.folder / self.about.name)

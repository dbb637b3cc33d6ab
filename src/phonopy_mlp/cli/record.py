"""What a run leaves in ``phonopy_mlp.yaml``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy

from phonopy_mlp.cli.options import Options
from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.imaginary import CommensurateModes
from phonopy_mlp.inputs import RunInput
from phonopy_mlp.provenance import Provenance, write_provenance
from phonopy_mlp.relax import RelaxResult
from phonopy_mlp.structures import structure_digest


@dataclass(slots=True)
class RunRecord:
    """What was done so far, and what the user was warned of.

    Attributes
    ----------
    options : Options
        The command line, parsed.
    command : sequence of str
        The command line, program name first.
    steps : dict
        An entry for each step done.
    warnings : list of str
        In order, each once.

    """

    options: Options
    command: Sequence[str]
    steps: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def collecting_warnings(self) -> Iterator[None]:
        """Print each warning once, in a line of its own, and keep it."""
        with warnings.catch_warnings():
            warnings.showwarning = self._show
            for shown in (UserWarning, RuntimeWarning):
                warnings.simplefilter("always", shown)
            for hidden in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", hidden)
            yield

    def _show(self, message: Warning | str, *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in self.warnings:
            self.warnings.append(text)
            print(f"Warning: {text}", file=sys.stderr)

    def add_relaxation(self, name: str, result: RelaxResult, seconds: float) -> None:
        """Record a relaxation."""
        self.steps[name] = {
            "fmax": result.fmax,
            "cell": result.cell,
            "pressure": result.pressure,
            "converged": result.converged,
            "steps": result.steps,
            "energy_change": result.energy_change,
            "volume_change": result.volume_change,
            "residual_force": result.residual_force,
            "residual_stress": result.residual_stress,
            "space_groups": [str(found) for found in result.final_groups],
            "seconds": round(seconds, 2),
        }

    def add_force_constants(self, atoms: Atoms, result: ForceConstantsResult, modes: CommensurateModes) -> None:
        """Record force constants of a structure and what is imaginary in them."""
        self.steps["force_constants"] = {
            "method": result.method,
            "structure_digest": structure_digest(atoms),
            "evaluations": result.evaluations,
            "residual_force": result.residual_force,
            "acoustic_sum_rule_violation": result.drift,
            "changed_by_symmetrisation": result.change,
            "lowest_commensurate_frequency": modes.lowest,
            "imaginary_commensurate_modes": modes.count_imaginary(),
            "seconds": round(result.seconds, 2),
        }

    def write(
        self, given: RunInput, atoms: Atoms, phonon: Phonopy, calculator: Mapping[str, Any], folder: Path
    ) -> None:
        """Write the provenance file of the run."""
        provenance = Provenance(
            command=tuple(self.command),
            settings=self._settings(phonon),
            input={
                "file": str(given.path),
                "file_digest": given.digest,
                "formula": atoms.get_chemical_formula(),
                "atoms": len(atoms),
                "structure_digest": structure_digest(given.atoms),
            },
            calculator=calculator,
            steps=self.steps,
            warnings=tuple(self.warnings),
        )
        write_provenance(provenance, folder)

    def _settings(self, phonon: Phonopy) -> dict[str, Any]:
        options = self.options
        return {
            "model": None if "forces_from" in self.steps else options.calculator.name,
            "device": options.calculator.device,
            "dtype": options.calculator.dtype,
            "head": options.calculator.head,
            "relax": None if options.relaxation is None else options.relaxation.keywords(),
            "symmetrise": options.symmetrise,
            "supercell_matrix": phonon.supercell_matrix,
            "primitive_matrix": phonon.primitive_matrix,
            "symmetry_tolerance": phonon.symmetry.tolerance,
            "displacements": _displacement_length(phonon),
            "symmetrise_force_constants": options.settings.fc_symmetry,
            "phonopy_arguments": list(options.arguments),
            "phonopy_tags": options.tags,
        }


def _displacement_length(phonon: Phonopy) -> dict[str, Any]:
    dataset = phonon.dataset
    assert dataset is not None
    lengths = np.linalg.norm(np.asarray(phonon.displacements)[..., -3:], axis=-1)
    return {"count": len(lengths), "length": float(lengths.max()), "random": "displacements" in dataset}

"""Whether force constants are sound: said on the terminal, and left in the record."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ase import Atoms

from phonopy_mlp.cli.messages import describe_modes
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.health import assess_health
from phonopy_mlp.imaginary import compute_commensurate_modes


def check_health(atoms: Atoms, result: ForceConstantsResult, calculator: Mapping[str, Any], record: RunRecord) -> None:
    """Record force constants of a structure, and warn of what makes them doubtful."""
    modes = compute_commensurate_modes(result.phonon)
    health = assess_health(result, modes, calculator)
    record.add_force_constants(atoms, result, modes, health)
    record.say(f"{describe_modes(modes)}\n{health.summary}")
    for message in health.warnings:
        warnings.warn(message, stacklevel=2)

"""Force constants for the steps that need them."""

from __future__ import annotations

from phonopy_mlp.cli.health import check_health
from phonopy_mlp.cli.progress import bar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.start import Start
from phonopy_mlp.force_constants import ForceConstantsResult, compute_force_constants, make_phonopy
from phonopy_mlp.registry import describe


def compute(start: Start, record: RunRecord) -> ForceConstantsResult:
    """Return the crystal's force constants; they are computed once."""
    if start.force_constants is None:
        phonon = make_phonopy(start.atoms, start.supercell_matrix, symprec=start.symprec)
        start.force_constants = compute_force_constants(
            phonon, start.calculator, progress=bar, unfinished=record.unfinished
        )
        check_health(start.atoms, start.force_constants, describe(start.calculator), record)
    return start.force_constants

"""Imaginary modes, moving."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from phonopy_mlp.imaginary import THRESHOLD, ImaginaryMode
from phonopy_mlp.report.folder import FinishedRun, Harmonic
from phonopy_mlp.report.markup import paragraph
from phonopy_mlp.report.section import Section
from phonopy_mlp.report.sections.structure import viewed
from phonopy_mlp.structures import from_phonopy

_MOST = 12
"""Modes that can be looked at; there may be hundreds, and the lowest ones matter."""

_MOST_ATOMS = 3000
_LARGEST_DENOMINATOR = 32


def make(run: FinishedRun) -> Section | None:
    """Return the imaginary modes at commensurate q-points, the lowest ones, for the viewer."""
    if run.harmonic is None:
        return None
    modes = [mode for mode in run.harmonic.modes.imaginary if mode.frequency < -THRESHOLD]
    if not modes:
        return None
    shown = modes[:_MOST]
    which = "" if len(shown) == len(modes) else f" The lowest {len(shown)} can be looked at."
    return Section(
        "modes",
        "Imaginary modes",
        before=paragraph(
            f"{len(modes)} modes at commensurate q-points have imaginary frequencies: the energy falls along them, to "
            f"either side.{which}",
            kind="warning",
        )
        + '<div class="viewer" id="modes-viewer"></div>',
        after=paragraph("Atoms swing along the eigenvector; the largest amplitude is exaggerated and can be chosen."),
        facts=(("Imaginary modes", f"{len(modes)}, lowest {modes[0].frequency:.3f} THz"),),
        payload={
            "crystal": viewed(from_phonopy(run.harmonic.phonon.primitive)),
            "modes": [_viewed_mode(run.harmonic, mode) for mode in shown],
        },
    )


def _viewed_mode(harmonic: Harmonic, mode: ImaginaryMode) -> dict[str, Any]:
    """Return displacements, the largest being 1, and how often the cell repeats until the wave does."""
    masses = np.asarray(harmonic.phonon.primitive.masses)
    displacements = mode.eigenvector.reshape(-1, 3) / np.sqrt(masses)[:, None]
    displacements = displacements / np.abs(displacements).max()
    q = ", ".join(f"{round(float(component), 4) + 0.0:g}" for component in mode.qpoint)
    return {
        "label": f"{mode.frequency:.3f} THz at q = ({q}), band {mode.band + 1}",
        "q": [round(float(component), 6) for component in mode.qpoint],
        "repeat": _repeat(mode, len(masses)),
        "real": np.round(displacements.real, 4).tolist(),
        "imaginary": np.round(displacements.imag, 4).tolist(),
    }


def _repeat(mode: ImaginaryMode, atoms: int) -> list[int]:
    counts = [Fraction(float(q)).limit_denominator(_LARGEST_DENOMINATOR).denominator for q in mode.qpoint]
    return counts if atoms * int(np.prod(counts)) <= _MOST_ATOMS else [1, 1, 1]

"""Equation of state."""

from __future__ import annotations

import numpy as np
from ase.units import GPa
from phonopy.qha.eos import get_eos

from phonopy_mlp.output import EOS_FILE
from phonopy_mlp.plot import COLOURS
from phonopy_mlp.report.chart import Curve, draw_chart
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import facts
from phonopy_mlp.report.section import Section


def make(run: FinishedRun) -> Section | None:
    """Return E(V), its fit, and what the fit leaves."""
    eos = run.read_yaml(EOS_FILE) if run.did("eos") else None
    if eos is None:
        return None
    volumes, energies, left = np.array(
        [[point[name] for name in ("volume", "energy", "energy_minus_fit")] for point in eos["points"]]
    ).T
    (volume, volume_error), (energy, _) = eos["volume"], eos["energy"]
    (modulus, modulus_error), (derivative, derivative_error) = eos["bulk_modulus"], eos["bulk_modulus_derivative"]
    form = eos["equation"]
    line = np.linspace(volumes[0], volumes[-1], 121)
    fitted = get_eos(form)(line, np.array([energy, modulus * GPa, derivative, volume]))
    name = form.replace("_", "-").title()
    return Section(
        "eos",
        "Equation of state",
        before=facts(
            [
                ("Equation", name),
                ("Volume (Å³ per primitive cell)", f"{volume:.3f} ± {volume_error:.1g}"),
                ("Bulk modulus (GPa)", f"{modulus:.3f} ± {modulus_error:.1g}"),
                ("Its derivative with pressure", f"{derivative:.2f} ± {derivative_error:.1g}"),
                ("The fit leaves (meV, root mean square)", 1e3 * eos["residual_rms"]),
                ("Shape relaxed at each volume", eos.get("shape_relaxed")),
            ]
        ),
        figures=(
            draw_chart(
                "eos",
                "Static energy, measured from that of the fit's minimum.",
                "Volume (Å³/primitive cell)",
                "E − E₀ (meV/primitive cell)",
                [
                    Curve(line, 1e3 * (fitted - energy), f"{name} fit"),
                    Curve(volumes, 1e3 * (energies - energy), "relaxed", COLOURS[1], "points"),
                ],
            ),
            draw_chart(
                "eos_residuals",
                "What the fit leaves of the energies.",
                "Volume (Å³/primitive cell)",
                "E − fit (meV/primitive cell)",
                [Curve(volumes, 1e3 * left, colour=COLOURS[1], style="both")],
            ),
        ),
        facts=(("Bulk modulus, static", f"{modulus:.2f} GPa"),),
    )

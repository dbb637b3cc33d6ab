"""Step ``eos``: energies at fixed volumes and the equation of state through them."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any, get_args

from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.progress import RelaxationBar, bar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.start import Array, Start, check_relaxation, given_options
from phonopy_mlp.eos.fit import Eos
from phonopy_mlp.eos.volumes import POINTS, STRAIN, EosResult, check_settings, run_eos
from phonopy_mlp.files import write_yaml
from phonopy_mlp.output import EOS_FILE
from phonopy_mlp.plot import plot_eos, write_figure

EOS_FIGURE = "eos.png"

_UNITS = {"volume": "angstrom^3", "energy": "eV", "bulk_modulus": "GPa", "uncertainty": "second of two values"}


@dataclass(frozen=True, slots=True)
class EosStep:
    """Settings of `run_eos`."""

    strain: float = STRAIN
    points: int = POINTS
    form: Eos = "birch_murnaghan"

    def check(self, _mesh: tuple[int, ...], _temperatures: Array, relaxation: RelaxOptions) -> None:
        """Raise `SettingsError` for settings that make no sense."""
        check_settings(self.strain, self.points, self.form)
        check_relaxation(
            "--eos",
            relaxation,
            "an equation of state is fitted about the volume without pressure, and tells the pressure at others",
            kept=("cell", "fix_symmetry", "fixed"),
        )

    def run(self, start: Start, record: RunRecord) -> None:
        """Write ``eos.yaml`` and ``eos.png``."""
        started, relaxation = time.perf_counter(), start.relaxation
        with RelaxationBar(relaxation.fmax) as show:
            result = run_eos(
                start.atoms,
                start.calculator,
                strain=self.strain,
                points=self.points,
                eos=self.form,
                fmax=relaxation.fmax,
                max_steps=relaxation.max_steps,
                relax_shape=False if relaxation.cell == "fixed" else "auto",
                fix_symmetry=relaxation.fix_symmetry,
                fixed=relaxation.fixed,
                symprec=start.symprec,
                progress=bar,
                on_step=show,
                unfinished=record.unfinished,
            )
        seconds = time.perf_counter() - started
        write_yaml(record.folder / EOS_FILE, {"unit": _UNITS, "per": "primitive cell", **result.describe()})
        write_figure(plot_eos(result, start.title), record.folder / EOS_FIGURE)
        record.add("eos", result.describe(), seconds)
        record.say(_describe(result))


def add_options(group: Any) -> None:
    """Add the options of the step."""
    group.add_argument("--eos", action="store_true", help=f"equation of state: {EOS_FILE}, {EOS_FIGURE}")
    group.add_argument(
        "--eos-strain",
        type=float,
        metavar="S",
        help=f"largest strain of the cell lengths (default: {STRAIN:g}, some {300 * STRAIN:g} %% in volume)",
    )
    group.add_argument("--eos-points", type=int, metavar="N", help=f"number of volumes (default: {POINTS})")
    group.add_argument("--eos-form", choices=get_args(Eos), help="equation (default: birch_murnaghan)")


def read(own: argparse.Namespace, *, wanted: bool = False) -> EosStep | None:
    """Return the step's settings, or None where it is not wanted."""
    given = given_options(own, "--eos", ("strain", "points", "form"), wanted=wanted or own.eos)
    return None if given is None else EosStep(**given)


def _describe(result: EosResult) -> str:
    fit, volumes = result.primitive_fit, result.primitive_volumes
    return (
        f"Equation of state over {len(volumes)} volumes, {100 * (volumes[0] / fit.volume - 1):+.1f} to "
        f"{100 * (volumes[-1] / fit.volume - 1):+.1f} %, {fit.eos}: B = {fit.bulk_modulus:.3f} +- "
        f"{fit.bulk_modulus_error:.2g} GPa, B' = {fit.derivative:.2f}, V = {fit.volume:.3f} A^3 per primitive cell; "
        f"the fit leaves {1e3 * fit.residual_rms:.2g} meV."
    )

"""Step ``sscha``: self-consistent phonons against temperature."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

from phonopy_mlp.anharmonic.output import write_sscha
from phonopy_mlp.anharmonic.result import SschaPoint
from phonopy_mlp.anharmonic.sscha import (
    ITERATIONS,
    MIXING,
    SNAPSHOTS,
    check_settings,
    run_sscha,
)
from phonopy_mlp.cli.arguments import RelaxOptions, read_numbers
from phonopy_mlp.cli.progress import bar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.phonons import compute
from phonopy_mlp.cli.steps.qha import check_mesh
from phonopy_mlp.cli.steps.start import Array, Start, given_options
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.plot import plot_sscha, write_figure

SSCHA_FIGURE = "sscha.png"


@dataclass(frozen=True, slots=True)
class SschaStep:
    """Settings of `run_sscha`."""

    iterations: int = ITERATIONS
    temperatures: tuple[float, ...] = (300.0,)
    snapshots: int = SNAPSHOTS
    transient: int | None = None
    mixing: float = MIXING
    seed: int = 0

    def check(self, mesh: tuple[int, ...], _temperatures: Array, _relaxation: RelaxOptions) -> None:
        """Raise `SettingsError` for settings that make no sense."""
        check_settings(self.temperatures, self.snapshots, self.iterations, self.transient or 0, self.mixing, self.seed)
        check_mesh("--sscha", mesh)

    def run(self, start: Start, record: RunRecord) -> None:
        """Write ``sscha.yaml``, ``sscha.png`` and, for each temperature, a phonopy yaml with its force constants."""
        phonon = compute(start, record).phonon
        count = len(self.temperatures) * self.iterations * (self.snapshots + 1)
        record.say(f"SSCHA: {count} evaluations of {len(phonon.supercell)} atoms.")
        started = time.perf_counter()
        result = run_sscha(
            phonon,
            start.calculator,
            temperatures=self.temperatures,
            snapshots=self.snapshots,
            iterations=self.iterations,
            transient=self.transient,
            mixing=self.mixing,
            mesh=start.mesh,
            seed=self.seed,
            progress=bar,
            unfinished=record.unfinished,
        )
        seconds = time.perf_counter() - started
        write_sscha(result, phonon, record.folder)
        harmonic = compute_commensurate_modes(phonon)
        write_figure(plot_sscha(result, start.title, harmonic=harmonic), record.folder / SSCHA_FIGURE)
        record.add("sscha", result.describe(), seconds)
        record.say("\n".join(_describe(point) for point in result.points))


def add_options(group: Any) -> None:
    """Add the options of the step."""
    group.add_argument(
        "--sscha",
        type=int,
        metavar="N",
        help=f"self-consistent phonons in so many iterations (default: {ITERATIONS}): sscha.yaml, {SSCHA_FIGURE}",
    )
    group.add_argument("--sscha-temperatures", nargs="+", metavar="T", help="in K (default: 300)")
    group.add_argument(
        "--sscha-snapshots", type=int, metavar="N", help=f"supercells in each iteration (default: {SNAPSHOTS})"
    )
    group.add_argument(
        "--sscha-transient", type=int, metavar="N", help="first iterations that do not count (default: half)"
    )
    group.add_argument(
        "--sscha-mixing", type=float, metavar="X", help=f"share of new force constants (default: {MIXING:g})"
    )
    group.add_argument("--sscha-seed", type=int, metavar="SEED", help="of the random displacements (default: 0)")


def read(own: argparse.Namespace, returned: list[str], *, wanted: bool = False) -> SschaStep | None:
    """Return the step's settings, or None where it is not wanted."""
    own.sscha_temperatures = read_numbers("--sscha-temperatures", own.sscha_temperatures, returned)
    names = ("temperatures", "snapshots", "transient", "mixing", "seed")
    given = given_options(own, "--sscha", names, wanted=wanted or own.sscha is not None)
    if given is None:
        return None
    return SschaStep(**given) if own.sscha is None else SschaStep(iterations=own.sscha, **given)


def _describe(point: SschaPoint) -> str:
    return (
        f"{point.temperature:g} K: F = {point.free_energy:.5f} +- {point.free_energy_error:.5f} eV per primitive cell, "
        f"lowest commensurate frequency {point.modes.lowest:.3f} THz."
    )

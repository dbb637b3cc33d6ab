"""Step ``committee``: the same crystal by other models, each at its own minimum, and how far they are apart."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.progress import RelaxationBar, bar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.qha import check_mesh
from phonopy_mlp.cli.steps.start import Array, Start, Step, check_relaxation, given_options
from phonopy_mlp.committee.compute import expand, run_committee
from phonopy_mlp.committee.output import COMMITTEE_FILE, write_committee
from phonopy_mlp.committee.plot import plot_committee
from phonopy_mlp.committee.result import CommitteeResult
from phonopy_mlp.committee.spread import Spread
from phonopy_mlp.plot import write_figure
from phonopy_mlp.qha.thermal import check_temperatures
from phonopy_mlp.registry import find_calculator, get_calculator, identify

COMMITTEE_FIGURE = "committee.png"


@dataclass(frozen=True, slots=True)
class CommitteeStep:
    """Which models, besides the one of ``--mlp``, and what is computed with each."""

    device: str
    dtype: str
    models: tuple[str, ...] = ()
    eos: bool = False
    qha: bool = False

    def check(self, mesh: tuple[int, ...], temperatures: Array, relaxation: RelaxOptions) -> None:
        """Raise `SettingsError` for settings that make no sense."""
        check_mesh("--committee", mesh)
        check_relaxation("--committee", relaxation, "each model has the crystal at its own free minimum")
        for name in self.models:
            find_calculator(name)
        if self.qha:
            check_temperatures(temperatures)

    def make_models(self) -> Iterator[tuple[str, BaseCalculator]]:
        """Make each model besides the one of ``--mlp``, with its name."""
        for name in self.models:
            yield name, get_calculator(name, device=self.device, dtype=self.dtype)

    def run(self, start: Start, record: RunRecord) -> None:
        """Write ``committee.yaml``, tables and ``committee.png``."""
        started = time.perf_counter()
        members: list[tuple[Mapping[str, Any], BaseCalculator]] = [({}, each) for each in expand([start.calculator])]
        for name, made in self.make_models():
            members += [(identify(name), each) for each in expand([made])]
        with RelaxationBar(start.relaxation.fmax) as show:
            result = run_committee(
                start.atoms,
                [calculator for _, calculator in members],
                supercell_matrix=start.supercell_matrix,
                mesh=start.mesh,
                temperatures=start.temperatures,
                eos=self.eos,
                qha=self.qha,
                fmax=start.relaxation.fmax,
                max_steps=start.relaxation.max_steps,
                symprec=start.symprec,
                progress=bar,
                on_step=show,
                unfinished=[record.unfinished.part(f"member-{k}", **origin) for k, (origin, _) in enumerate(members)],
            )
        seconds = time.perf_counter() - started
        write_committee(result, record.folder)
        write_figure(plot_committee(result, start.title), record.folder / COMMITTEE_FIGURE)
        record.add("committee", _summary(result), seconds)
        record.say(_describe(result))
        for member in result.members:
            for message in member.health.warnings:
                warnings.warn(f"{member.description['name']}: {message}", stacklevel=2)


def add_options(group: Any) -> None:
    """Add the options of the step."""
    group.add_argument(
        "--committee",
        metavar="MODELS",
        help=f"names or files of other models, a,b,c: {COMMITTEE_FILE}, tables, {COMMITTEE_FIGURE}",
    )
    group.add_argument("--committee-eos", action="store_true", help="bulk modulus of each, too")
    group.add_argument("--committee-qha", action="store_true", help="thermal expansion of each, too")


def read(own: argparse.Namespace, *, wanted: bool = False) -> CommitteeStep | None:
    """Return the step's settings, or None where it is not wanted."""
    given = given_options(own, "--committee", ("eos", "qha"), wanted=wanted or own.committee is not None)
    if given is None:
        return None
    models = tuple(name for name in (own.committee or "").split(",") if name)
    return CommitteeStep(device=own.device, dtype=own.dtype, models=models, **given)


def other_models(steps: Iterable[Step | None]) -> Iterator[tuple[str, BaseCalculator]]:
    """Make the models that committees among some steps ask besides the one of ``--mlp``."""
    for step in steps:
        if isinstance(step, CommitteeStep):
            yield from step.make_models()


def _summary(result: CommitteeResult) -> dict[str, Any]:
    """Return what the record has, which is no place for every frequency."""
    return {name: value for name, value in result.describe().items() if name != "frequencies"}


def _describe(result: CommitteeResult) -> str:
    word = result.measure.replace("_", " ")
    rows = [("V (A^3)", result.volume)]
    if result.bulk_modulus is not None:
        rows.append(("B (GPa)", result.bulk_modulus))
    last = float(result.temperatures[-1])
    rows += [
        (f"{name} at {last:g} K ({unit})", Spread(spread.members[:, -1]))
        for name, unit, spread in (
            ("F", "kJ/mol", result.free_energy),
            ("S", "J/K/mol", result.entropy),
            ("Cv", "J/K/mol", result.heat_capacity),
        )
    ]
    if result.expansion is not None:
        expansion = result.expansion.volumetric_expansion.members[:, -1]
        rows.append((f"alpha_V at {last:g} K (1e-6/K)", Spread(1e6 * expansion)))
    lines = [f"  {name:<24} {float(spread.mean):12.4f}  {word} {float(spread.size):.2g}" for name, spread in rows]
    names = ", ".join(str(member.description["name"]) for member in result.members)
    return "\n".join(
        [
            f"{len(result.members)} models ({names}), each at its own minimum, per primitive cell:",
            *lines,
            f"  Frequencies, by eigenvector: rms {word} {result.rms_frequency_spread:.3f} THz at "
            f"{len(result.qpoints)} commensurate q-points; least overlap {np.nanmin(result.overlaps):.2f}.",
        ]
    )

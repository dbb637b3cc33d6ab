"""Step ``stabilise``: relaxation, and removal of imaginary modes."""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

from ase.units import GPa

from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.progress import RelaxationBar, bar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.start import Array, Start, given_options
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import write_yaml
from phonopy_mlp.health import assess_health
from phonopy_mlp.output import STABILISED_FILE, TRAIL_FILE, write_cif
from phonopy_mlp.registry import describe
from phonopy_mlp.stability.dynamics import Dynamics
from phonopy_mlp.stability.proposals import Method, find_images
from phonopy_mlp.stability.rattle import Rattle
from phonopy_mlp.stability.stabilise import AUTO, MAX_ROUNDS, check_settings, not_stable, stabilise
from phonopy_mlp.stability.trail import StabilityResult
from phonopy_mlp.stability.trail import Step as TrailStep

_RATTLE, _DYNAMICS = Rattle(), Dynamics()

_SETTINGS = {
    "rattle_sigma": "rattle",
    "rattle_carriers": "rattle",
    "md_temperature": "md",
    "md_steps": "md",
    "md_held": "md",
}
"""Options that are settings of one method."""


@dataclass(frozen=True, slots=True)
class StabiliseStep:
    """How imaginary modes are removed, and structures relaxed meanwhile."""

    relaxation: RelaxOptions
    methods: str = ",".join(AUTO)
    rounds: int = MAX_ROUNDS
    seed: int = 0
    required: bool = False
    rattle_sigma: float = _RATTLE.sigma
    rattle_carriers: bool = _RATTLE.carriers_only
    md_temperature: float = _DYNAMICS.temperature
    md_steps: int = _DYNAMICS.steps
    md_held: str = ""
    symmetrise: float | None = None

    @property
    def chosen(self) -> list[str | Method]:
        """The methods, with their settings."""
        made: dict[str, Method] = {
            "rattle": Rattle(self.rattle_sigma, self.rattle_carriers),
            "md": Dynamics(self.md_temperature, self.md_steps, held=tuple(filter(None, self.md_held.split(",")))),
        }
        return [made.get(name, name) for name in self.methods.split(",")]

    def check(self, _mesh: tuple[int, ...], _temperatures: Array, _relaxation: RelaxOptions) -> None:
        """Raise `SettingsError` for settings that make no sense."""
        check_settings(self.chosen, self.rounds, self.seed)
        if self.relaxation.fix_symmetry is not None or not self.relaxation.must_converge:
            raise SettingsError(
                "--stabilise with --fix-symmetry or --relax-unconverged",
                "modes leave symmetry, and are those of a converged structure",
                "Leave the option out",
            )

    def run(self, start: Start, record: RunRecord) -> None:
        """Put the stabilised crystal in the place of the one that was given, and write it with the trail to it.

        Raises
        ------
        StabilityError
            Something is unstable in the end, and that was to be an error; what was written says what.

        """
        started = time.perf_counter()
        relaxation = self.relaxation
        with RelaxationBar(relaxation.fmax) as show:
            result = stabilise(
                start.atoms,
                start.calculator,
                supercell_matrix=start.supercell_matrix,
                methods=self.chosen,
                max_rounds=self.rounds,
                seed=self.seed,
                fmax=relaxation.fmax,
                max_steps=relaxation.max_steps,
                cell=relaxation.cell,
                pressure=relaxation.pressure,
                fixed=relaxation.fixed,
                symmetrise=self.symmetrise,
                progress=bar,
                on_event=lambda step: record.say(_describe_step(step)),
                on_step=show,
                unfinished=record.unfinished,
            )
        seconds = time.perf_counter() - started
        # While atoms are fixed a cell that becomes larger repeats them in their order.
        fixed = tuple(find_images(relaxation.fixed, start.atoms, result.atoms).tolist())
        start.relaxation = replace(start.relaxation, fixed=fixed)
        start.atoms, start.supercell_matrix = result.atoms, result.supercell_matrix
        write_cif(result.atoms, record.folder / STABILISED_FILE)
        write_yaml(record.folder / TRAIL_FILE, result.describe())
        health = assess_health(result.check.force_constants, None, describe(start.calculator))
        enthalpy = result.energy * len(result.atoms)
        energy = enthalpy - relaxation.pressure * GPa * float(result.atoms.get_volume())
        found = {**result.describe(), "energy": energy, "health": health.describe()}
        record.add("stabilise", found, seconds)
        record.say(f"{_describe(result)}\n{health.summary}")
        for message in health.warnings:
            warnings.warn(message, stacklevel=2)
        if self.required and not result.stable:
            raise not_stable(result)


def add_options(group: Any) -> None:
    """Add the options of the step."""
    group.add_argument(
        "--stabilise",
        action="store_true",
        help=f"relax, and remove imaginary modes: {STABILISED_FILE}, {TRAIL_FILE}",
    )
    group.add_argument("--stabilise-methods", metavar="LIST", help=f"of {','.join(AUTO)}, in this order (default: all)")
    group.add_argument(
        "--stabilise-rounds",
        type=int,
        metavar="N",
        help=f"accepted steps at most; 0 relaxes and checks (default: {MAX_ROUNDS})",
    )
    group.add_argument("--stabilise-seed", type=int, metavar="SEED", help="of the random displacements (default: 0)")
    group.add_argument("--stabilise-required", action="store_true", help="end with an error if anything is left")
    group.add_argument(
        "--stabilise-rattle-sigma",
        type=float,
        metavar="D",
        help=f"standard deviation of the random displacements in A (default: {_RATTLE.sigma:g})",
    )
    group.add_argument(
        "--stabilise-rattle-carriers", action="store_true", help="displace the atoms that carry the mode alone"
    )
    group.add_argument(
        "--stabilise-md-temperature",
        type=float,
        metavar="T",
        help=f"of the initial velocities, in K (default: {_DYNAMICS.temperature:g})",
    )
    group.add_argument(
        "--stabilise-md-steps",
        type=int,
        metavar="N",
        help=f"of {_DYNAMICS.timestep:g} fs (default: {_DYNAMICS.steps})",
    )
    group.add_argument("--stabilise-md-held", metavar="LIST", help="elements whose atoms do not move: Zn,O")


def read(own: argparse.Namespace, relaxation: RelaxOptions, *, wanted: bool = False) -> StabiliseStep | None:
    """Return the step's settings, or None where it is not wanted."""
    names = ("methods", "rounds", "seed", "required", *_SETTINGS)
    given = given_options(own, "--stabilise", names, wanted=wanted or own.stabilise)
    if given is None:
        return None
    step = StabiliseStep(relaxation, **given)
    for name, method in _SETTINGS.items():
        if name in given and method not in step.methods.split(","):
            raise SettingsError(
                f"--stabilise-{name.replace('_', '-')} with --stabilise-methods {step.methods}",
                f"{method} is not among them",
                "Leave one of them out",
            )
    return step


def _describe_step(step: TrailStep) -> str:
    mode = "" if step.frequency is None else f" along {step.frequency:.3f} THz at q = {_q(step.qpoint)}"
    if step.direction is not None:
        mode = f" along a long wave in direction {_q(step.direction)}"
    elif step.strain is not None:
        mode = " along a strain"
    if not step.accepted:
        return f"{step.method}{mode}: rejected, {step.reason}"
    assert step.energy_change is not None
    group = step.groups_after[-1]
    return (
        f"{step.method}{mode}: {1e3 * step.energy_change:+.4f} meV per formula unit, {step.atoms_after} atoms, {group}"
    )


def _q(components: tuple[float, ...] | None) -> str:
    return f"({' '.join(f'{component:g}' for component in (round(c, 4) + 0.0 for c in components or ()))})"


def _describe(result: StabilityResult) -> str:
    check = result.check
    if result.stable:
        within = f"; {len(check.modes_within_noise)} modes within noise" if check.modes_within_noise else ""
        return f"Stable: lowest commensurate frequency {check.modes.lowest:.4f} THz{within}."
    return (
        f"NOT stable: {len(check.unstable_modes)} imaginary modes, lowest {check.modes.lowest:.4f} THz, "
        f"{len(check.unstable_waves)} long waves and {len(check.unstable_strains)} strains are left."
    )

"""From an unstable crystal to a stable one, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.units import GPa

from phonopy_mlp.errors import PhonopyMlpError, SettingsError, StabilityError
from phonopy_mlp.evaluator import Progress, calling, silent
from phonopy_mlp.imaginary import THRESHOLD
from phonopy_mlp.registry import describe
from phonopy_mlp.relax import FMAX, Cell, relax
from phonopy_mlp.stability.cells import carry_supercell, reduce_to_primitive
from phonopy_mlp.stability.check import StabilityCheck, check_stability
from phonopy_mlp.stability.descent import descend
from phonopy_mlp.stability.dynamics import Dynamics
from phonopy_mlp.stability.follow import Follow
from phonopy_mlp.stability.proposals import Method, Problem, Proposal, find_images
from phonopy_mlp.stability.rattle import Rattle
from phonopy_mlp.stability.trail import StabilityResult, Step, count_atoms_per_formula
from phonopy_mlp.structures import bare, structure_digest
from phonopy_mlp.symmetry import LOOSE, TIGHT, SpaceGroup, find_space_group
from phonopy_mlp.unfinished import Unfinished

Array = np.ndarray[Any, Any]

MethodName = Literal["follow", "rattle", "md"]

AUTO: tuple[MethodName, ...] = get_args(MethodName)
"""Methods in the order in which each falls back on the next."""

MAX_ROUNDS = 20
"""Default number of accepted steps after which to give up."""

ENERGY_NOISE = 1e-9
"""Energy in eV per atom that no difference can be trusted to: what an atom at 1e-6 eV/A is above its minimum where the
stiffness is 5e-4 eV/A^2."""

_NOISE_DISTANCE = 0.01
"""Distance in A over which a force noise makes a noise of energy."""


def stabilise(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    supercell_matrix: Array,
    methods: Sequence[str | Method] = AUTO,
    max_rounds: int = MAX_ROUNDS,
    threshold: float = THRESHOLD,
    seed: int = 0,
    fmax: float = FMAX,
    max_steps: int = 2000,
    cell: Cell = "free",
    pressure: float = 0.0,
    fixed: Sequence[int] = (),
    reduce_cell: bool = True,
    must_be_stable: bool = False,
    progress: Progress = silent,
    on_event: Callable[[Step], None] | None = None,
    unfinished: Unfinished | None = None,
) -> StabilityResult:
    """Relax a crystal, and leave it along its imaginary modes until none is left.

    Each round checks the crystal with `check_stability`, and lets the methods propose structures in their order. The
    first whose relaxation lowers the energy per atom by more than its noise is the crystal of the next round; all
    others are recorded as rejected. It ends when the check finds nothing unstable, no method finds anything lower, long
    waves alone are left in a fixed cell, or `max_rounds` is reached. What is unstable in the end stands in the result.

    A mode off Gamma makes the cell as many times larger as it needs to repeat. The next check is made in exactly the
    same supercell in space as the first one, which every cell that holds a commensurate mode divides.

    Parameters
    ----------
    atoms : Atoms
        Unit cell; not changed. q-points and `supercell_matrix` refer to this cell, which is not reduced.
    calculator : BaseCalculator
        Any ASE calculator; its linear response is used where it has one.
    supercell_matrix : ndarray
        As phonopy's ``--dim``, for the checks. shape=(3, 3), dtype=int
    methods : sequence of str or Method, optional
        ``follow``, ``rattle`` and ``md``, or `Follow`, `Rattle` and `Dynamics` with settings of their own.
    max_rounds : int, optional
        Accepted steps after which to give up. With 0 the crystal is relaxed and checked, no more.
    threshold : float, optional
        Smaller imaginary frequencies (THz) do not count, nor do those within the noise.
    seed : int, optional
        Of the first random numbers; every attempt counts it up by one.
    fmax, max_steps, cell, pressure, fixed : optional
        As of `relax`, for all relaxations. A fixed atom's images in a larger cell are fixed, too; the checks look at
        the motions of all atoms all the same.
    reduce_cell : bool, optional
        Whether a cell that became larger, and turns out not to be primitive after relaxation, is reduced; not done
        while atoms are fixed.
    must_be_stable : bool, optional
        Whether anything that is unstable in the end is an error.
    progress : Progress, optional
        Shows how far force constants have come.
    on_event : callable, optional
        Called with each `Step` as it is decided.
    unfinished : Unfinished, optional
        Keeps finished relaxations and parts of force constants, and has those that were finished by a run that was
        killed.

    Raises
    ------
    ConvergenceError
        The first relaxation did not reach `fmax`. Later ones that fail are rejected steps.
    CalculatorError
        The calculator failed in the first relaxation or in a check. Where it fails in a method, the step is rejected.
    SettingsError
        There is no such method, `max_rounds` is negative, or `relax` objects to its settings.
    StabilityError
        Something is unstable in the end, and `must_be_stable` was asked for.

    """
    check_settings(methods, max_rounds)
    chosen = [_make_method(method) for method in methods]
    relaxation = _Relaxation(calculator, fmax, max_steps, cell, pressure, unfinished)
    trail: list[Step] = []

    def record(step: Step) -> None:
        trail.append(step)
        if on_event is not None:
            on_event(step)

    crystal, first = _start(atoms, np.asarray(supercell_matrix), tuple(int(k) for k in fixed), relaxation)
    record(first)
    for number in range(max_rounds + 1):
        check = check_stability(
            crystal.atoms,
            calculator,
            supercell_matrix=crystal.supercell_matrix,
            threshold=threshold,
            progress=progress,
            unfinished=unfinished,
        )
        hopeless = cell == "fixed" and not check.unstable_modes
        if check.stable or hopeless or number == max_rounds:
            break
        attempt = _Attempt(crystal, check, relaxation, reduce_cell, seed + len(trail), record)
        improved = attempt.run(chosen)
        if improved is None:
            break
        crystal = improved
    matrix = crystal.supercell_matrix.copy()
    matrix.flags.writeable = False
    result = StabilityResult(crystal.atoms, check, matrix, tuple(trail))
    if must_be_stable and not result.stable:
        raise _not_stable(result)
    return result


@dataclass(frozen=True, slots=True)
class _Crystal:
    """A relaxed crystal; energy in eV per atom, with the work of the pressure."""

    atoms: Atoms
    energy: float
    supercell_matrix: Array
    fixed: tuple[int, ...]
    groups: tuple[SpaceGroup, ...]


@dataclass(frozen=True, slots=True)
class _Relaxation:
    """How structures are relaxed, and where finished relaxations are kept."""

    calculator: BaseCalculator
    fmax: float
    max_steps: int
    cell: Cell
    pressure: float
    unfinished: Unfinished | None

    @property
    def energy_noise(self) -> float:
        """In eV per atom."""
        return max(ENERGY_NOISE, _NOISE_DISTANCE * float(describe(self.calculator).get("force_noise", 0.0)))

    def run(self, atoms: Atoms, fixed: Sequence[int], *, below: float | None = None) -> tuple[Atoms, float]:
        """Return the relaxed structure and its energy in eV per atom, with the work of the pressure.

        Where an energy per atom is given, the structure slides below it first.
        """
        settings: dict[str, Any] = {
            "fmax": self.fmax,
            "max_steps": self.max_steps,
            "cell": self.cell,
            "pressure": self.pressure,
            "fixed": [int(k) for k in fixed],
        }
        section, name = None, f"relaxed-{structure_digest(atoms).removeprefix('sha256:')[:16]}"
        if self.unfinished is not None:
            section = self.unfinished.section(
                self.calculator, relaxation=settings, below=below, masses=atoms.get_masses()
            )
            kept = section.get(name)
            if kept is not None:
                relaxed = bare(atoms)
                relaxed.set_cell(kept["cell"])
                relaxed.positions = kept["positions"]
                return relaxed, float(kept["energy"])
        started = atoms
        if below is not None:
            started = descend(
                atoms,
                self.calculator,
                below=below * len(atoms),
                fmax=self.fmax,
                cell=self.cell,
                pressure=self.pressure,
                fixed=fixed,
            )
        result = relax(started, self.calculator, **settings)
        relaxed = result.atoms
        energy = self.with_pressure(result.energy, relaxed) / len(relaxed)
        if section is not None:
            section.keep(name, cell=relaxed.cell.array, positions=relaxed.positions, energy=energy)
        return relaxed, energy

    def with_pressure(self, energy: float, atoms: Atoms) -> float:
        """Return the energy in eV with the work of the pressure."""
        return energy + self.pressure * GPa * float(atoms.get_volume())


def _start(
    atoms: Atoms, supercell_matrix: Array, fixed: tuple[int, ...], relaxation: _Relaxation
) -> tuple[_Crystal, Step]:
    given = bare(atoms)
    with calling(f"the structure as given ({given.get_chemical_formula()})"):
        before = float(relaxation.calculator.get_property("energy", given))
    relaxed, energy = relaxation.run(given, fixed)
    crystal = _Crystal(relaxed, energy, supercell_matrix, fixed, _groups(relaxed))
    step = Step(
        method="relax",
        accepted=True,
        reason="",
        qpoint=None,
        band=None,
        frequency=None,
        direction=None,
        amplitude=None,
        seed=None,
        energy_before=relaxation.with_pressure(before, given) / len(given),
        energy_after=energy,
        groups_before=_groups(given),
        groups_after=crystal.groups,
        atoms_before=len(given),
        atoms_after=len(relaxed),
        atoms_per_formula=count_atoms_per_formula(given),
    )
    return crystal, step


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A round: one unstable crystal, and what the methods make of it."""

    crystal: _Crystal
    check: StabilityCheck
    relaxation: _Relaxation
    reduce_cell: bool
    seed: int
    record: Callable[[Step], None]

    def run(self, methods: Sequence[Method]) -> _Crystal | None:
        """Return the first crystal that is accepted, or None."""
        for number, method in enumerate(methods):
            problem = Problem(
                atoms=self.crystal.atoms,
                check=self.check,
                calculator=self.relaxation.calculator,
                fixed=self.crystal.fixed,
                energy_noise=self.relaxation.energy_noise,
                pressure=self.relaxation.pressure * GPa,
                strains=self.relaxation.cell == "free",
                seed=self.seed + number,
            )
            try:
                for proposal in method.propose(problem):
                    accepted = self._try(proposal, method.name)
                    if accepted is not None:
                        return accepted
            except PhonopyMlpError as error:
                self._record(Proposal(None, np.eye(3, dtype=int), refusal=str(error)), method.name)
        return None

    def _try(self, proposal: Proposal, method: str) -> _Crystal | None:
        """Relax a proposal; return what it led to if that is lower in energy."""
        if proposal.atoms is None:
            self._record(proposal, method)
            return None
        fixed = tuple(find_images(self.crystal.fixed, self.crystal.atoms, proposal.atoms).tolist())
        try:
            relaxed, energy = self.relaxation.run(
                proposal.atoms, fixed, below=self.crystal.energy - self.relaxation.energy_noise
            )
        except PhonopyMlpError as error:
            self._record(replace(proposal, refusal=str(error)), method)
            return None
        rows = np.asarray(proposal.rows, dtype=float)
        if self.reduce_cell and not fixed and len(relaxed) > len(self.crystal.atoms):
            relaxed, reduction = reduce_to_primitive(relaxed)
            rows = reduction @ rows
        gain = self.crystal.energy - energy
        reason = ""
        if not gain > self.relaxation.energy_noise:
            reason = f"relaxed to {-gain:+.2e} eV per atom, which is not lower"
        matrix = carry_supercell(self.crystal.supercell_matrix, rows)
        found = _Crystal(relaxed, energy, matrix, fixed, _groups(relaxed))
        self._record(replace(proposal, refusal=reason), method, found)
        return None if reason else found

    def _record(self, proposal: Proposal, method: str, found: _Crystal | None = None) -> None:
        mode, wave = proposal.mode, proposal.wave
        self.record(
            Step(
                method=method,
                accepted=found is not None and not proposal.refusal,
                reason=proposal.refusal,
                qpoint=None if mode is None else tuple(mode.qpoint.tolist()),
                band=None if mode is None else mode.band,
                frequency=None if mode is None else mode.frequency,
                direction=None if wave is None else tuple(wave.direction.tolist()),
                amplitude=proposal.amplitude,
                seed=proposal.seed,
                energy_before=self.crystal.energy,
                energy_after=None if found is None else found.energy,
                groups_before=self.crystal.groups,
                groups_after=() if found is None else found.groups,
                atoms_before=len(self.crystal.atoms),
                atoms_after=None if found is None else len(found.atoms),
                atoms_per_formula=count_atoms_per_formula(self.crystal.atoms),
            )
        )


def check_settings(methods: Sequence[str | Method], max_rounds: int) -> None:
    """Raise `SettingsError` for settings of `stabilise` that make no sense."""
    for method in methods:
        if isinstance(method, str) and method not in AUTO:
            raise SettingsError(
                f"Method '{method}'", "there is no such way to remove modes", f"Give some of {', '.join(AUTO)}"
            )
    if max_rounds < 0:
        raise SettingsError(f"{max_rounds} rounds", "there cannot be fewer than none", "Give 0 or more")


def _make_method(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    made: dict[str, Method] = {"follow": Follow(), "rattle": Rattle(), "md": Dynamics()}
    return made[method]


def _groups(atoms: Atoms) -> tuple[SpaceGroup, ...]:
    return tuple(find_space_group(atoms, tolerance) for tolerance in (TIGHT, LOOSE))


def _not_stable(result: StabilityResult) -> StabilityError:
    modes, waves = result.check.unstable_modes, result.check.unstable_waves
    lowest = f", the lowest at {modes[0].frequency:.3f} THz" if modes else ""
    return StabilityError(
        f"The crystal is not stable after {result.rounds} steps",
        f"{len(modes)} imaginary modes{lowest}, and {len(waves)} long waves are left",
        "Allow more rounds, other methods or a larger supercell, or accept what is left",
    )

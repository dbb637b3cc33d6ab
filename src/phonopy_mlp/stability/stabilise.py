"""From an unstable crystal to a stable one, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import ConvergenceError, SettingsError, StabilityError
from phonopy_mlp.evaluator import Progress, calling, silent
from phonopy_mlp.imaginary import THRESHOLD
from phonopy_mlp.relax import FMAX, Cell
from phonopy_mlp.stability.check import StabilityCheck, check_stability
from phonopy_mlp.stability.dynamics import Dynamics
from phonopy_mlp.stability.follow import Follow
from phonopy_mlp.stability.proposals import Method
from phonopy_mlp.stability.rattle import Rattle
from phonopy_mlp.stability.relaxation import Relaxation, estimate_energy_noise, not_lower
from phonopy_mlp.stability.rounds import Relaxed, Round
from phonopy_mlp.stability.trail import StabilityResult, Step, count_atoms_per_formula
from phonopy_mlp.structures import bare
from phonopy_mlp.symmetry import find_space_groups
from phonopy_mlp.unfinished import Unfinished

MethodName = Literal["follow", "rattle", "md"]

AUTO: tuple[MethodName, ...] = get_args(MethodName)
"""Methods in the order in which each falls back on the next."""

MAX_ROUNDS = 20
"""Default number of accepted steps after which to give up."""


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
    symmetrise: float | None = None,
    reduce_cell: bool = True,
    must_be_stable: bool = False,
    progress: Progress = silent,
    on_event: Callable[[Step], None] | None = None,
    on_step: Callable[[int, float], None] | None = None,
    unfinished: Unfinished | None = None,
) -> StabilityResult:
    """Relax a crystal, and leave it along its imaginary modes until none is left.

    Each round checks the crystal with `check_stability`, and lets the methods propose structures in their order. The
    first whose relaxation lowers the energy per atom by more than its noise is the crystal of the next round; all
    others are recorded as rejected. It ends when the check finds nothing unstable, no method finds anything lower, only
    strains are left that a fixed cell or volume forbids, or `max_rounds` is reached. What is unstable in the end stands
    in the result, also such a strain.

    L-BFGS may lead uphill from beside a saddle point onto it. Where the relaxation at the beginning has done so it is
    a rejected step, and the crystal slides down with FIRE before it is relaxed again.

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
        Every attempt counts it up by one and draws its random numbers with what comes out, 0 or more.
    fmax, max_steps, cell, pressure, fixed : optional
        As of `relax`, for all relaxations. A fixed atom's images in a larger cell are fixed, too; the checks look at
        the motions of all atoms all the same.
    symmetrise : float or None, optional
        Tolerance in A. Every relaxed structure is projected onto the space group that it has at this tolerance, and
        relaxed again within: checks of a crystal that has its symmetry exactly take the fewest displacements.
    reduce_cell : bool, optional
        Whether a cell that became larger, and turns out not to be primitive after relaxation, is reduced; not done
        while atoms are fixed.
    must_be_stable : bool, optional
        Whether anything that is unstable in the end is an error.
    progress : Progress, optional
        Shows how far force constants and methods have come.
    on_event : callable, optional
        Called with each `Step` as it is decided.
    on_step : callable, optional
        As of `relax`, called in all relaxations.
    unfinished : Unfinished, optional
        Keeps finished relaxations and parts of force constants, and has those that were finished by a run that was
        killed.

    Raises
    ------
    ConvergenceError
        The relaxation at the beginning did not reach `fmax`, or raised the energy however it was done. Later ones that
        fail are rejected steps.
    CalculatorError
        The calculator failed in the first relaxation or in a check. Where it fails in a method, the step is rejected.
    SettingsError
        There is no such method, it is to hold atoms that are not there, `max_rounds` or `seed` is negative, or `relax`
        objects to its settings.
    StabilityError
        Something is unstable in the end, and `must_be_stable` was asked for.

    """
    check_settings(methods, max_rounds, seed)
    chosen = [_make_method(method) for method in methods]
    for method in chosen:
        if isinstance(method, Dynamics):
            method.check_held(atoms)
    noise = estimate_energy_noise(atoms, calculator, unfinished)
    relaxation = Relaxation(calculator, fmax, max_steps, cell, pressure, unfinished, noise, on_step, symmetrise)
    trail: list[Step] = []

    def record(step: Step) -> None:
        trail.append(step)
        if on_event is not None:
            on_event(step)

    crystal = _start(atoms, np.asarray(supercell_matrix), tuple(int(k) for k in fixed), relaxation, record)
    for number in range(max_rounds + 1):
        check = check_stability(
            crystal.atoms,
            calculator,
            supercell_matrix=crystal.supercell_matrix,
            threshold=threshold,
            progress=progress,
            unfinished=unfinished,
        )
        if check.stable or not _may_leave(check, cell) or number == max_rounds:
            break
        attempt = Round(crystal, check, relaxation, reduce_cell, seed + len(trail), record, progress)
        improved = attempt.run(chosen)
        if improved is None:
            break
        crystal = improved
    result = StabilityResult(crystal.atoms, check, frozen(crystal.supercell_matrix), tuple(trail))
    if must_be_stable and not result.stable:
        raise not_stable(result)
    return result


def _start(
    atoms: Atoms,
    supercell_matrix: Array,
    fixed: tuple[int, ...],
    relaxation: Relaxation,
    record: Callable[[Step], None],
) -> Relaxed:
    """Relax a crystal as given; where that leads uphill, let it slide down first."""
    given = bare(atoms)
    with calling(f"the structure as given ({given.get_chemical_formula()})"):
        energy = float(relaxation.calculator.get_property("energy", given))
    before = relaxation.with_pressure(energy, given) / len(given)
    groups = find_space_groups(given)
    for below in (None, before):
        relaxed, after = relaxation.run(given, fixed, below=below)
        crystal = Relaxed(relaxed, after, supercell_matrix, fixed, find_space_groups(relaxed))
        risen = after - before > relaxation.energy_noise
        step = Step(
            method="relax",
            accepted=not risen,
            reason=not_lower(after - before) if risen else "",
            qpoint=None,
            band=None,
            frequency=None,
            direction=None,
            strain=None,
            amplitude=None,
            seed=None,
            energy_before=before,
            energy_after=after,
            groups_before=groups,
            groups_after=crystal.groups,
            atoms_before=len(given),
            atoms_after=len(relaxed),
            atoms_per_formula=count_atoms_per_formula(given),
        )
        record(step)
        if step.accepted:
            return crystal
    raise ConvergenceError(
        "The relaxation at the beginning does not lower the energy",
        step.reason,
        "Relax the structure first (relax, or --relax), and look at what comes out",
    )


def _may_leave(check: StabilityCheck, cell: Cell) -> bool:
    """Return whether anything unstable is left that the cell does not forbid."""
    deforms = {
        "free": not check.stable,
        "constant-volume": bool(check.unstable_waves or check.unstable_isochoric_strains),
        "fixed": False,
    }
    return bool(check.unstable_modes) or deforms[cell]


def check_settings(methods: Sequence[str | Method], max_rounds: int, seed: int) -> None:
    """Raise `SettingsError` for settings of `stabilise` that make no sense."""
    for method in methods:
        if isinstance(method, str) and method not in AUTO:
            raise SettingsError(
                f"Method '{method}'", "there is no such way to remove modes", f"Give some of {', '.join(AUTO)}"
            )
    if max_rounds < 0:
        raise SettingsError(f"{max_rounds} rounds", "there cannot be fewer than none", "Give 0 or more")
    if seed < 0:
        raise SettingsError(f"Seed {seed}", "it cannot be negative", "Give 0 or more")


def _make_method(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    made: dict[str, Method] = {"follow": Follow(), "rattle": Rattle(), "md": Dynamics()}
    return made[method]


def not_stable(result: StabilityResult) -> StabilityError:
    """Return the error of a crystal in which something is unstable in the end."""
    check = result.check
    modes, waves, strains = check.unstable_modes, check.unstable_waves, check.unstable_strains
    lowest = f", the lowest at {modes[0].frequency:.3f} THz" if modes else ""
    return StabilityError(
        f"The crystal is not stable after {result.rounds} steps",
        f"{len(modes)} imaginary modes{lowest}, {len(waves)} long waves and {len(strains)} strains are left",
        "Allow more rounds, other methods or a larger supercell, or accept what is left",
    )

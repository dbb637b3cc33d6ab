"""Phonons, bulk modulus and expansion of one crystal by several models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.arrays import Array
from phonopy_mlp.committee.comparison import Computed, compare
from phonopy_mlp.committee.result import CommitteeResult
from phonopy_mlp.eos import run_eos
from phonopy_mlp.errors import PhonopyMlpError, SettingsError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import check_size
from phonopy_mlp.phonons import MESH
from phonopy_mlp.protocols import SupportsMembers
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.registry import describe
from phonopy_mlp.relax import FMAX, MAX_STEPS, relax
from phonopy_mlp.symmetry import TIGHT
from phonopy_mlp.unfinished import Unfinished


def run_committee(
    atoms: Atoms,
    calculators: Sequence[BaseCalculator],
    *,
    supercell_matrix: Array,
    mesh: Sequence[int] = MESH,
    temperatures: Sequence[float] | Array = tuple(range(0, 310, 10)),
    eos: bool = False,
    qha: bool = False,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    symprec: float = TIGHT,
    band_points: int = 51,
    progress: Progress = silent,
    on_step: Callable[[int, float], None] | None = None,
    unfinished: Sequence[Unfinished] | None = None,
) -> CommitteeResult:
    """Relax a crystal with each of several models, and compare their phonons.

    Every member has its own minimum, and its force constants are those of that minimum. Modes of the others are matched
    to the first one's by their eigenvectors, so that bands that cross in one of them are not taken for one another.

    Parameters
    ----------
    atoms : Atoms
        Crystal to start from; not changed.
    calculators : sequence of BaseCalculator
        Two or more. One that is a committee itself (`protocols.SupportsMembers`) counts as its members.
    supercell_matrix : ndarray
        Of `atoms`, as phonopy's ``--dim``. shape=(3, 3)
    mesh : sequence of int, optional
        Gamma-centred sampling mesh. shape=(3,)
    temperatures : sequence of float, optional
        Ascending, in K.
    eos, qha : bool, optional
        Also compute the static bulk modulus, and thermal expansion, with the default settings of each.
    fmax, max_steps, on_step : optional
        As of `relax`, for all relaxations.
    symprec : float, optional
        Tolerance in A at which symmetry is read.
    band_points : int, optional
        q-points per segment of the band path.
    progress : Progress, optional
        Shows how far the work has come.
    unfinished : sequence of Unfinished, optional
        Keeps what is finished, a folder for each of `calculators`' members.

    Raises
    ------
    SettingsError
        There are fewer than two members, the supercell is one atom, or mesh or temperatures make no sense.
    ConvergenceError, StructureError, CalculatorError, ImaginaryModesError
        What a member's calculation raises, with its name; or two members' crystals are not the same.

    """
    members = expand(calculators)
    if len(members) < 2:
        raise SettingsError("A committee of one model", "it has no spread", "Name another model, or several")
    check_size(len(atoms) * round(abs(float(np.linalg.det(supercell_matrix)))))
    keeps: Sequence[Unfinished | None] = unfinished if unfinished is not None else [None] * len(members)
    computed: list[Computed] = []
    goal: dict[str, Any] = {"fmax": fmax, "max_steps": max_steps, "on_step": on_step}
    for calculator, keep in zip(members, keeps, strict=True):
        options: dict[str, Any] = {"progress": progress, "unfinished": keep}
        with _named(str(describe(calculator)["name"])):
            relaxed = relax(atoms, calculator, **goal, unfinished=keep).atoms
            primitive = computed[0].phonon.primitive_matrix if computed else "auto"
            phonon = make_phonopy(relaxed, supercell_matrix, primitive_matrix=primitive, symprec=symprec)
            computed.append(
                Computed(
                    relaxed,
                    compute_force_constants(phonon, calculator, **options),
                    describe(calculator),
                    run_eos(relaxed, calculator, **goal, symprec=symprec, **options) if eos else None,
                    run_mlp_qha(
                        relaxed,
                        calculator,
                        supercell_matrix=supercell_matrix,
                        temperatures=temperatures,
                        mesh=mesh,
                        symprec=symprec,
                        **goal,
                        **options,
                    )
                    if qha
                    else None,
                )
            )
    return compare(computed, mesh, temperatures, band_points)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put which member it was before the message of an error."""
    try:
        yield
    except PhonopyMlpError as error:
        raise type(error)(f"{name}: {error.what}", error.why, error.remedy) from error


def expand(calculators: Sequence[BaseCalculator]) -> tuple[BaseCalculator, ...]:
    """Return calculators, the members of a committee in its place."""
    return tuple(
        member
        for calculator in calculators
        for member in (calculator.make_members() if isinstance(calculator, SupportsMembers) else (calculator,))
    )

"""What all steps have in common: where they start, and how their options are read."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.cli.arguments import RELAX_OPTIONS, RelaxOptions
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.force_constants import ForceConstantsResult

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class Start:
    """A crystal, relaxed and symmetrised as asked, and what it is computed with.

    Attributes
    ----------
    title : str
        For figures.
    atoms : Atoms
    calculator : BaseCalculator
    supercell_matrix : ndarray
        Of `atoms`. shape=(3, 3)
    symprec : float
        Tolerance in A at which symmetry is read.
    relaxation : RelaxOptions
        How it was relaxed, and is again in steps, as far as they keep to it.
    mesh : tuple of int
        Gamma-centred sampling mesh. shape=(3,)
    temperatures : ndarray
        In K, ascending.
    force_constants : ForceConstantsResult or None
        None where they have not been computed.

    """

    title: str
    atoms: Atoms
    calculator: BaseCalculator
    supercell_matrix: Array
    symprec: float
    relaxation: RelaxOptions
    mesh: tuple[int, ...]
    temperatures: Array
    force_constants: ForceConstantsResult | None = None


class Step(Protocol):
    """Settings of a step, which know how to do it."""

    def check(self, mesh: tuple[int, ...], temperatures: Array, relaxation: RelaxOptions) -> None:
        """Raise `SettingsError` for settings that make no sense, before any work is done."""

    def run(self, start: Start, record: RunRecord) -> None:
        """Do the step: write its files, say its result, and leave it in the record."""


def check_relaxation(flag: str, relaxation: RelaxOptions, why: str, *, kept: Collection[str] = ()) -> None:
    """Raise `SettingsError` for what a relaxation is to keep to, and a step that relaxes again does not.

    Parameters
    ----------
    flag : str
        Option of the step.
    relaxation : RelaxOptions
        How the crystal is relaxed before.
    why : str
        Why the step relaxes in another way.
    kept : collection of str
        Fields of `RelaxOptions` that the step keeps to all the same.

    """
    free = RelaxOptions()
    names = [name for name in ("cell", "pressure", "fix_symmetry", "fixed") if name not in kept]
    lost = [RELAX_OPTIONS[name] for name in names if getattr(relaxation, name) != getattr(free, name)]
    if lost:
        raise SettingsError(f"{flag} with {' and '.join(lost)}", why, "Leave one of them out")


def given_options(own: argparse.Namespace, flag: str, names: Iterable[str], *, wanted: bool) -> dict[str, Any] | None:
    """Return a step's options that were given, by name without the step's own; None where the step is not wanted.

    Raises
    ------
    SettingsError
        Options of a step that is not wanted.

    """
    prefix = flag.removeprefix("--") + "_"
    values = {name: getattr(own, prefix + name) for name in names}
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    if not wanted and given:
        option = f"{flag}-{next(iter(given)).replace('_', '-')}"
        raise SettingsError(f"{option} without {flag}", "it would have no effect", f"Add {flag}, or leave it out")
    return given if wanted else None

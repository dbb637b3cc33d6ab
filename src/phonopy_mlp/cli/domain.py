"""Whether a structure is inside what a calculator was made for, where the calculator can tell."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.errors import StructureError, StructureWarning
from phonopy_mlp.evaluator import calling
from phonopy_mlp.protocols import SupportsDomain


def check_domain(
    atoms: Atoms,
    calculator: BaseCalculator,
    record: RunRecord,
    *,
    strict: bool,
    others: Iterable[tuple[str, BaseCalculator]] = (),
) -> None:
    """Warn of everything in a structure that is outside of a calculator's domain, and leave it in the record.

    Parameters
    ----------
    atoms : Atoms
        The structure.
    calculator : BaseCalculator
        What it is computed with.
    record : RunRecord
        Keeps what was looked for and found.
    strict : bool
        Whether a finding is an error.
    others : iterable of (str, BaseCalculator)
        Further models that it will be computed with, by name.

    Raises
    ------
    StructureError
        There is something, and `strict` makes it an error.
    CalculatorError
        A check failed.

    """
    own = _ask(atoms, calculator)
    asked = {name: found for name, other in others if (found := _ask(atoms, other)) is not None}
    record.domain = {**(own or {"checked": [], "findings": []}), "others": asked} if asked else own
    messages = [] if own is None else [str(finding["message"]) for finding in own["findings"]]
    messages += [f"{name}: {finding['message']}" for name, found in asked.items() for finding in found["findings"]]
    if messages and strict:
        raise StructureError(
            "The structure is outside of what the model was trained on",
            "; ".join(message.rstrip(".") for message in messages),
            "Leave out --strict to compute it all the same, or choose a model that covers it",
        )
    for message in messages:
        warnings.warn(message, StructureWarning, stacklevel=2)


def _ask(atoms: Atoms, calculator: BaseCalculator) -> dict[str, Any] | None:
    """Return what a calculator looks for and finds, or None where it cannot tell."""
    with calling(f"the check of its domain, {atoms.get_chemical_formula()}"):
        if not isinstance(calculator, SupportsDomain):  # which reads the property, and may fail as it does
            return None
        checked, findings = calculator.domain_checks, calculator.check_domain(atoms)
    return {"checked": list(checked), "findings": [dict(finding) for finding in findings]}

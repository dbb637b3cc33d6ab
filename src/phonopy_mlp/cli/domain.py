"""Whether a structure is inside what a calculator was made for, where the calculator can tell."""

from __future__ import annotations

import warnings

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.errors import StructureError, StructureWarning
from phonopy_mlp.evaluator import calling
from phonopy_mlp.protocols import SupportsDomain


def check_domain(atoms: Atoms, calculator: BaseCalculator, record: RunRecord, *, strict: bool) -> None:
    """Warn of everything in a structure that is outside of a calculator's domain, and leave it in the record.

    Raises
    ------
    StructureError
        There is something, and `strict` makes it an error.
    CalculatorError
        The check failed.

    """
    with calling(f"the check of its domain, {atoms.get_chemical_formula()}"):
        if not isinstance(calculator, SupportsDomain):  # which reads the property, and may fail as it does
            return
        checked, findings = calculator.domain_checks, calculator.check_domain(atoms)
    record.domain = {"checked": list(checked), "findings": [dict(finding) for finding in findings]}
    messages = [str(finding["message"]) for finding in findings]
    if messages and strict:
        raise StructureError(
            "The structure is outside of what the model was trained on",
            "; ".join(message.rstrip(".") for message in messages),
            "Leave out --strict to compute it all the same, or choose a model that covers it",
        )
    for message in messages:
        warnings.warn(message, StructureWarning, stacklevel=2)

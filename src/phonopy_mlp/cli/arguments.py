"""Options that several commands share: the calculator, and how a structure is relaxed."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.registry import calculator_names, get_calculator, is_model_file
from phonopy_mlp.relax import FMAX, MAX_STEPS, Cell
from phonopy_mlp.symmetry import LOOSE

DEFAULT_MODEL = "mof0"


@dataclass(frozen=True, slots=True)
class CalculatorOptions:
    """Which calculator, and where it computes.

    Attributes
    ----------
    model : str or None
        Registered name or model file; None where ``--mlp`` stood alone or was absent.
    device, dtype, head : str, str, str or None
        Handed to the calculator.

    """

    model: str | None
    device: str
    dtype: str
    head: str | None

    @property
    def name(self) -> str:
        """Registered name or model file, the default one where none was given."""
        return self.model or DEFAULT_MODEL

    def make(self) -> BaseCalculator:
        """Make the calculator."""
        return get_calculator(self.name, device=self.device, dtype=self.dtype, head=self.head)


@dataclass(frozen=True, slots=True)
class RelaxOptions:
    """How a structure is relaxed: the arguments of `phonopy_mlp.relax.relax`."""

    fmax: float = FMAX
    max_steps: int = MAX_STEPS
    cell: Cell = "free"
    pressure: float = 0.0
    fix_symmetry: float | None = None
    fixed: tuple[int, ...] = ()
    must_converge: bool = True

    def keywords(self) -> dict[str, Any]:
        """Return the arguments."""
        return asdict(self)


def add_calculator_options(group: Any) -> None:
    """Add the options that choose a calculator."""
    group.add_argument("--mlp", nargs="?", metavar="MODEL", help=f"calculator or model file (default: {DEFAULT_MODEL})")
    group.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    group.add_argument("--dtype", default="float64", choices=("float64", "float32"), help="precision of the model")
    group.add_argument("--head", help="head of a multi-head model file")


def add_relax_options(group: Any) -> None:
    """Add the options that say how a structure is relaxed."""
    group.add_argument("--relax-fmax", type=float, metavar="F", help=f"goal in eV/A (default: {FMAX:g})")
    group.add_argument("--relax-steps", type=int, metavar="N", help=f"steps at most (default: {MAX_STEPS})")
    group.add_argument(
        "--relax-cell", choices=get_args(Cell), help="what the cell may do: all, change its shape alone, or nothing"
    )
    group.add_argument("--pressure", type=float, metavar="P", help="relax under a pressure in GPa")
    group.add_argument(
        "--fix-symmetry",
        nargs="?",
        const=str(LOOSE),
        metavar="TOL",
        help=f"keep the space group found at TOL (A, default: {LOOSE:g})",
    )
    group.add_argument("--fix-atoms", metavar="LIST", help="atoms that keep their place, counted from 1: 1,2,7-12")
    group.add_argument("--relax-unconverged", action="store_true", help="go on where the goal was not reached")


def read_calculator(own: argparse.Namespace, returned: list[str]) -> CalculatorOptions:
    """Return the calculator's options; a word after ``--mlp`` that is the structure is put back into `returned`."""
    return CalculatorOptions(_model(own.mlp, returned), own.device, own.dtype, own.head)


def read_relaxation(own: argparse.Namespace, returned: list[str]) -> RelaxOptions:
    """Return how a structure is to be relaxed.

    Raises
    ------
    SettingsError
        A tolerance that is not a number, or a list of atoms that is not one.

    """
    given: dict[str, Any] = {
        "fmax": own.relax_fmax,
        "max_steps": own.relax_steps,
        "cell": own.relax_cell,
        "pressure": own.pressure,
        "fix_symmetry": tolerance("--fix-symmetry", own.fix_symmetry, returned),
        "fixed": None if own.fix_atoms is None else _atoms(own.fix_atoms),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return RelaxOptions(**chosen, must_converge=not own.relax_unconverged)


def tolerance(option: str, word: str | None, returned: list[str]) -> float | None:
    """Return the tolerance (A) after an option, the loose one where the word there is the structure.

    Raises
    ------
    SettingsError
        The word is neither a number nor a file.

    """
    if word is None:
        return None
    try:
        return float(word)
    except ValueError:
        if Path(word).exists():
            returned.append(word)
            return LOOSE
        raise SettingsError(f"{option} {word}", "it is not a tolerance in A", "Give for example 1e-2") from None


def _model(word: str | None, returned: list[str]) -> str | None:
    if word is None or is_model_file(word) or word in calculator_names():
        return word
    # The word is the structure, or a name nobody registered; get_calculator tells the close ones.
    if not Path(word).exists() and not Path(word).suffix:
        return word
    returned.append(word)
    return None


def _atoms(words: str) -> tuple[int, ...]:
    """Return atoms, counted from 0, of a list such as ``1,2,7-12``, counted from 1."""
    found: list[int] = []
    for part in words.replace(",", " ").split():
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last.isdigit() or (last == "" and "-" not in part))) or int(first) < 1:
            raise SettingsError(
                f"--fix-atoms {words}", f"'{part}' is no atom, counted from 1, nor a range", "Give for example 1,2,7-12"
            )
        found += range(int(first) - 1, int(last or first))
    return tuple(sorted(set(found)))

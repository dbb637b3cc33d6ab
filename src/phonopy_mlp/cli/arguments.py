"""Options that several commands share: the calculator, how a structure is relaxed, and the supercell."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.cli import config
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import exists, is_file
from phonopy_mlp.output import RELAXED_FILE, REPORT_FILE, STABILISED_FILE, TRAIL_FILE
from phonopy_mlp.registry import calculator_names, get_calculator, is_model_file
from phonopy_mlp.relax import FMAX, MAX_STEPS, Cell
from phonopy_mlp.supercell import AUTO_LENGTH, auto_supercell, parse_supercell, shortest_image_distance
from phonopy_mlp.symmetry import LOOSE, check_tolerance

DEFAULT_MODEL = "mof0"

SUPERCELL = (2, 2, 2)
"""Default supercell, the paper's."""

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CalculatorOptions:
    """Which calculator, and where it computes.

    Attributes
    ----------
    model : str or None
        Registered name or model file; None where ``--mlp`` stood alone or was absent.
    device, dtype, head : str, str, str or None
        Handed to the calculator.
    strict : bool
        Whether a structure outside of the calculator's domain is an error.

    """

    model: str | None
    device: str
    dtype: str
    head: str | None
    strict: bool

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


RELAX_OPTIONS = {
    "fmax": "--relax-fmax",
    "max_steps": "--relax-steps",
    "cell": "--relax-cell",
    "pressure": "--pressure",
    "fix_symmetry": "--fix-symmetry",
    "fixed": "--fix-atoms",
    "must_converge": "--relax-unconverged",
}
"""Option of the command line for each of `RelaxOptions`."""


@dataclass(frozen=True, slots=True)
class SupercellOptions:
    """Which supercell.

    Attributes
    ----------
    words : tuple of str or None
        Words after ``--dim``; None where it was not given.
    length : float or None
        What ``--dim auto`` must exceed, in A; None where it was not said.

    """

    words: tuple[str, ...] | None
    length: float | None

    def check(self) -> None:
        """Raise `SettingsError` for words that make no supercell."""
        if self.words not in (None, ("auto",)):
            parse_supercell(self.words)
        if self.length is not None and self.words != ("auto",):
            raise SettingsError("--dim-length without --dim auto", "it would have no effect", "Add --dim auto")

    def choose(
        self, atoms: Atoms, say: Callable[[str], None], *others: np.ndarray[Any, Any] | None
    ) -> np.ndarray[Any, Any]:
        """Return the matrix for a unit cell, shape=(3, 3): the one asked for, the first of others, or the default."""
        if self.words is None:
            return np.asarray(next((each for each in others if each is not None), np.diag(SUPERCELL)))
        if self.words != ("auto",):
            return parse_supercell(self.words)
        length = AUTO_LENGTH if self.length is None else self.length
        matrix = auto_supercell(atoms, length)
        distance = shortest_image_distance(matrix @ atoms.cell.array)
        say(
            f"Supercell {' x '.join(str(n) for n in np.diag(matrix))}: the smallest whose shortest image distance "
            f"({distance:.2f} A) exceeds {length:g} A.",
        )
        return matrix


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """What a run and a command of one step have in common.

    Attributes
    ----------
    structure : Path
        Structure file or phonopy yaml.
    calculator : CalculatorOptions
    relaxation : RelaxOptions or None
        How the structure is relaxed first; None where it is not.
    relaxing : RelaxOptions
        How steps relax that do so themselves, as far as they keep to it.
    symmetrise : float or None
        Project onto the space group found at this tolerance (A).
    supercell : SupercellOptions
    report : bool
        Make a report at the end.
    quiet : bool
        Print nothing but warnings, errors, and what was asked for: the plan of a dry run, the table of a figure.

    """

    structure: Path
    calculator: CalculatorOptions
    relaxation: RelaxOptions | None
    relaxing: RelaxOptions
    symmetrise: float | None
    supercell: SupercellOptions
    report: bool
    quiet: bool

    def structures_written(self, *, stabilised: bool) -> tuple[str, ...]:
        """Return the files of the structures that come out, with the trail to a stabilised one if there will be one."""
        prepared = self.relaxation is not None or self.symmetrise is not None
        wanted = ((RELAXED_FILE, prepared), (STABILISED_FILE, stabilised), (TRAIL_FILE, stabilised))
        return tuple(name for name, is_wanted in wanted if is_wanted)

    def common_settings(self) -> dict[str, Any]:
        """Return these settings for the record."""
        return {
            "model": self.calculator.name,
            "device": self.calculator.device,
            "dtype": self.calculator.dtype,
            "head": self.calculator.head,
            "strict": self.calculator.strict,
            "relax": None if self.relaxation is None else self.relaxation.keywords(),
            "symmetrise": self.symmetrise,
        }


def add_calculator_options(group: Any) -> None:
    """Add the options that choose a calculator."""
    group.add_argument("--mlp", nargs="?", metavar="MODEL", help=f"calculator or model file (default: {DEFAULT_MODEL})")
    group.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    group.add_argument("--dtype", default="float64", choices=("float64", "float32"), help="precision of the model")
    group.add_argument("--head", help="head of a multi-head model file")
    group.add_argument("--strict", action="store_true", help="refuse a structure outside of the model's training")


def add_preparation_options(group: Any, *, always: bool) -> None:
    """Add the options that say whether a structure is relaxed first, unless it always is, and how; and symmetrised."""
    if not always:
        group.add_argument("--relax", action="store_true", help="relax first; the options below say how")
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
    group.add_argument(
        "--symmetrise",
        nargs="?",
        const=str(LOOSE),
        metavar="TOL",
        help=f"project onto the space group found at TOL (A, default: {LOOSE:g}); where it is relaxed before, it is "
        "relaxed again within that group",
    )


def add_supercell_options(group: Any) -> None:
    """Add the options that say which supercell, named as in phonopy-init."""
    group.add_argument("--dim", nargs="+", metavar="N", help="supercell: 3 or 9 integers, or auto (default: 2 2 2)")
    group.add_argument(
        "--dim-length",
        type=float,
        metavar="L",
        help=f"A that the shortest image distance of '--dim auto' exceeds (default: {AUTO_LENGTH:g})",
    )


def add_common_options(group: Any) -> None:
    """Add the options of every command that computes something."""
    group.add_argument("--report", action="store_true", help=f"make {REPORT_FILE} of the results at the end")
    group.add_argument(
        config.OPTION, metavar="YAML", help="take options from a file, or from the record of an earlier run"
    )
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


def read_calculator(own: argparse.Namespace, returned: list[str]) -> CalculatorOptions:
    """Return the calculator's options; a word after ``--mlp`` that is the structure is put back into `returned`."""
    return CalculatorOptions(_model(own.mlp, returned), own.device, own.dtype, own.head, own.strict)


def read_relaxation(own: argparse.Namespace, returned: list[str], *, wanted: bool) -> RelaxOptions:
    """Return how a structure is to be relaxed.

    Raises
    ------
    SettingsError
        A tolerance that is not a number, a list of atoms that is not one, or any of the options of a relaxation that is
        not wanted.

    """
    values: dict[str, Any] = {
        "fmax": own.relax_fmax,
        "max_steps": own.relax_steps,
        "cell": own.relax_cell,
        "pressure": own.pressure,
        "fix_symmetry": tolerance("--fix-symmetry", own.fix_symmetry, returned),
        "fixed": None if own.fix_atoms is None else _atoms(own.fix_atoms),
        "must_converge": False if own.relax_unconverged else None,
    }
    given = {name: value for name, value in values.items() if value is not None}
    if given and not wanted:
        raise SettingsError(
            f"{', '.join(RELAX_OPTIONS[name] for name in given)} without --relax",
            "there is no relaxation to have an effect on",
            "Add --relax, or leave it out",
        )
    return RelaxOptions(**given)


def read_supercell(own: argparse.Namespace, returned: list[str]) -> SupercellOptions:
    """Return which supercell; a last word that is the structure is put back into `returned`."""
    words = own.dim
    if words is not None and len(words) > 1 and looks_like_a_file(words[-1]):
        returned.append(words.pop())
    return SupercellOptions(None if words is None else tuple(" ".join(words).split()), own.dim_length)


def plain_numbers(words: Sequence[str]) -> list[str]:
    """Return the words with negative numbers as plain decimals: ``-0.001`` for ``-1e-3``, ``-5`` for ``-5.``.

    Only those are values to argparse; until Python 3.14 it takes any other word with a hyphen before it for an option.
    """
    return [np.format_float_positional(float(word), trim="-") if _NEGATIVE.fullmatch(word) else word for word in words]


def looks_like_a_file(word: str) -> bool:
    """Return whether a word is a file, or has a suffix as the name of one that is missing."""
    return is_file(word) or bool(Path(word).suffix.strip(".0123456789"))


def read_numbers(option: str, words: list[str] | None, returned: list[str]) -> tuple[float, ...] | None:
    """Return the numbers after an option; a last word that is the structure is put back into `returned`.

    Raises
    ------
    SettingsError
        A word is neither a number nor a file.

    """
    if words is None:
        return None
    numbers: list[float] = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            if word is words[-1] and numbers and is_file(word):
                returned.append(word)
                continue
            raise SettingsError(f"{option} {' '.join(words)}", f"'{word}' is no number", "Give numbers") from None
    return tuple(numbers)


def temperatures(low: float, high: float, step: float) -> np.ndarray[Any, Any]:
    """Return temperatures from a lowest to a highest one, none where they do not ascend; all in K.

    Raises
    ------
    SettingsError
        They would never end.

    """
    if not (np.isfinite([low, high, step]).all() and step > 0):
        raise SettingsError(
            f"Temperatures from {low:g} to {high:g} K in steps of {step:g} K",
            "they must be finite, and the step positive",
            "Give for example --tmin 0 --tmax 300 --tstep 10",
        )
    return np.arange(low, high + step / 2, step)


def tolerance(option: str, word: str | None, returned: list[str]) -> float | None:
    """Return the tolerance (A) after an option, the loose one where the word there is the structure.

    Raises
    ------
    SettingsError
        The word is neither a positive number nor a file.

    """
    if word is None:
        return None
    try:
        found = float(word)
    except ValueError:
        if exists(word):
            returned.append(word)
            return LOOSE
        raise SettingsError(f"{option} {word}", "it is not a tolerance in A", "Give for example 1e-2") from None
    check_tolerance(found)
    return found


def _model(word: str | None, returned: list[str]) -> str | None:
    if word is None or is_model_file(word) or word in calculator_names():
        return word
    # The word is the structure, or a name nobody registered; get_calculator tells the close ones.
    if not exists(word) and not Path(word).suffix:
        return word
    returned.append(word)
    return None


def _atoms(words: str) -> tuple[int, ...]:
    """Return atoms, counted from 0, of a list such as ``1,2,7-12``, counted from 1."""
    found: list[int] = []
    for part in words.replace(",", " ").split():
        first, _, last = part.partition("-")
        sound = first.isdigit() and (last if "-" in part else first).isdigit()
        if not (sound and 1 <= int(first) <= int(last or first)):
            raise SettingsError(
                f"--fix-atoms {words}", f"'{part}' is no atom, counted from 1, nor a range", "Give for example 1,2,7-12"
            )
        found += range(int(first) - 1, int(last or first))
    return tuple(sorted(set(found)))

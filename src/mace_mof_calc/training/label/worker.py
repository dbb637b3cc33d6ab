"""What runs in a worker process: one calculator, made once, and one frame after another."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from multiprocessing import parent_process
from typing import Any

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ...errors import MaceMofError
from ...xtb import GammaPointWarning
from ..calculators import make_calculator
from ..hessians import carry_rows, compute_rows
from ..job import Part
from ..manifest import Dropped
from .compute import compute_labels, label_frame

#: In ``info`` of a frame, the atom whose rows of the Hessian are wanted in place of labels.
DISPLACED = "displaced"

_calculator: BaseCalculator | MaceMofError
_level_of_theory: str


def start(name: str, device: str, dtype: str) -> None:
    """Make the calculator of this process; an error is kept for those who ask for labels."""
    global _calculator, _level_of_theory
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore", GammaPointWarning)  # told of once for each crystal, by `parallel.find_warnings`
    try:
        _calculator = make_calculator(name, device=device, dtype=dtype)
        describe: Callable[[], dict[str, Any]] = getattr(_calculator, "describe", dict)
        _level_of_theory = describe().get("level_of_theory") or name
    except MaceMofError as error:
        _calculator = error


def label(atoms: Atoms) -> Part:
    """Label a frame, or compute rows of its Hessian; what the calculator raises becomes the reason why it is left out.

    Raises
    ------
    MaceMofError
        The calculator could not be made.
    """
    if isinstance(_calculator, MaceMofError):
        raise _calculator
    try:
        if DISPLACED in atoms.info:
            return Part([carry_rows(atoms, compute_rows(atoms, atoms.info[DISPLACED], _calculator))])
        return Part([label_frame(atoms, compute_labels(atoms, _calculator), _level_of_theory)])
    except (Exception, SystemExit) as error:
        return Part([], [Dropped(atoms.info["name"], f"{type(error).__name__}: {error}")])


def _end_with_parent() -> None:
    """End this process when the one that started it was killed, or a frame that hangs would never end."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

"""ASE calculators for phonons of metal-organic frameworks: MACE-MP-MOF0 and its comparators.

Importing this package is light: the calculators, and PyTorch with them, are loaded when one is first asked for.

>>> from mace_mof_calc import MaceMOF
>>> atoms.calc = MaceMOF()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from .ase_plugin import register_calculators

if TYPE_CHECKING:
    from .calculator import MaceMOF
    from .comparators import MaceMP0bD3
    from .xtb import GFN1xTB

__all__ = ["GFN1xTB", "MaceMOF", "MaceMP0bD3", "__version__"]

_HOME = {
    "MaceMOF": "mace_mof_calc.calculator",
    "MaceMP0bD3": "mace_mof_calc.comparators",
    "GFN1xTB": "mace_mof_calc.xtb",
}

try:
    __version__ = version("mace-mof-calc")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Import the calculator called `name` on first use."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names for tab completion, without importing what they stand for."""
    return sorted({*globals(), *_HOME})


register_calculators()

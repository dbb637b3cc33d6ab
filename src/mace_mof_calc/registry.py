"""Calculators by name: the factories behind the entry points of group ``phonopy_mlp.calculators``.

The user's own models are in the catalogue behind the entry point of group ``phonopy_mlp.catalogues``. Each factory
returns a fresh ASE calculator. Importing this module is light; a factory imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DeviceError, PrecisionError
from .models.own import list_own

if TYPE_CHECKING:
    from ase.calculators.calculator import BaseCalculator, Calculator

#: Groups of entry points: calculators by name, and readers of model files by suffix.
CALCULATORS, MODEL_FILES = "phonopy_mlp.calculators", "phonopy_mlp.model_files"


def mof0(*, device: str = "auto", dtype: str = "float64", head: str | None = None) -> Calculator:
    """MACE-MP-MOF0 as published (PBE-D3(BJ); dispersion is in the model)."""
    return _mace("mof0", device, dtype, head)


def mof0_v2(*, device: str = "auto", dtype: str = "float64", head: str | None = None) -> Calculator:
    """MACE-MP-MOF0, second version of the weights."""
    return _mace("mof0-v2", device, dtype, head)


def mini(*, device: str = "auto", dtype: str = "float64", head: str | None = None) -> Calculator:
    """Small model that ships with the package; trained on GFN1-xTB, for tests and demonstrations, not for research."""
    return _mace("mini", device, dtype, head)


def mp_0b(*, device: str = "auto", dtype: str = "float64", head: str | None = None) -> Calculator:
    """MACE-MP-0b (medium), the model that MACE-MP-MOF0 was fine-tuned from; PBE without dispersion."""
    return _mace("mp-0b", device, dtype, head)


def mp_0b_d3(*, device: str = "auto", dtype: str = "float64", head: str | None = None) -> BaseCalculator:
    """MACE-MP-0b (medium) with D3(BJ) dispersion for PBE added."""
    from .comparators import MaceMP0bD3

    return MaceMP0bD3(device=device, dtype=dtype, head=head)


def gfn1_xtb(*, device: str = "auto", dtype: str = "float64") -> Calculator:
    """GFN1-xTB of tblite; runs on the CPU in double precision, whatever else the machine has."""
    from .xtb import GFN1xTB

    if device not in ("auto", "cpu"):
        raise DeviceError(f"Device {device!r} was asked for", "GFN1-xTB runs on the CPU only", "Use cpu or auto")
    if dtype != "float64":
        raise PrecisionError(f"Precision {dtype!r} was asked for", "GFN1-xTB computes in float64 only", "Use float64")
    return GFN1xTB()


def from_file(
    path: str | Path, *, device: str = "auto", dtype: str = "float64", head: str | None = None, trust: bool = False
) -> Calculator:
    """MACE model from a file; see `mace_mof_calc.calculator.MaceMOF` for `head` and `trust`."""
    from .calculator import MaceMOF

    return MaceMOF(Path(path), device=device, dtype=dtype, head=head, trust=trust)


def own_models() -> Mapping[str, Callable[..., Calculator]]:
    """Return a factory for each model of the user's own, by its name; nothing is opened."""
    return {name: partial(_mace, name) for name in list_own()}


def _mace(name: str, device: str = "auto", dtype: str = "float64", head: str | None = None) -> Calculator:
    from .calculator import MaceMOF

    return MaceMOF(name, device=device, dtype=dtype, head=head)

"""Calculators by name, whoever registers them."""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ase.calculators.calculator import BaseCalculator

from ..errors import TrainingError
from ..registry import from_file, own_models

GROUP = "phonopy_mlp.calculators"
"""Entry-point group ``name -> factory(*, device, dtype)``."""

MODEL_FILE_SUFFIXES = (".model", ".safetensors", ".json")


def make_calculator(
    name: str, *, device: str = "auto", dtype: str = "float64", head: str | None = None
) -> BaseCalculator:
    """Make a calculator.

    Parameters
    ----------
    name : str
        One that an installed package registers, a model of the user's own, or a model file.
    device : str, optional
        ``auto``, ``cpu``, ``cuda`` or what else the calculator knows.
    dtype : str, optional
        ``float64`` or ``float32``.
    head : str, optional
        Head of a multi-head model. Handed on only when given.

    Raises
    ------
    TrainingError
        There is no such calculator; the message names the close ones.
    """
    settings: dict[str, Any] = {"device": device, "dtype": dtype} | ({} if head is None else {"head": head})
    if Path(name).suffix in MODEL_FILE_SUFFIXES:
        return from_file(name, **settings)
    registered = {point.name: point for point in entry_points(group=GROUP)}
    own = own_models()
    if name not in registered and name not in own:
        known = sorted({*registered, *own})
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise TrainingError(
            f"There is no calculator {name!r}",
            f"Known are {', '.join(known)}",
            f"Did you mean {' or '.join(close)}?" if close else "Give one of these, or a model file",
        )
    factory = registered[name].load() if name in registered else own[name]
    try:
        calculator: BaseCalculator = factory(**settings)
    except TypeError as error:
        if head is None or "head" not in str(error):
            raise
        raise TrainingError(f"Head {head!r} of {name!r} was asked for", "It has no heads", "Leave it out") from error
    return calculator

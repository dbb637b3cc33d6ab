"""Calculators by name, whoever registers them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ase.calculators.calculator import BaseCalculator

from ..errors import TrainingError
from ..registry import from_file, own_models

Factory = Callable[..., BaseCalculator]

_GROUP = "phonopy_mlp.calculators"
_MODEL_FILES = frozenset({".json", ".model", ".safetensors"})


def make_calculator(
    name: str, *, device: str = "auto", dtype: str = "float64", head: str | None = None
) -> BaseCalculator:
    """Make a calculator.

    Parameters
    ----------
    name : str
        An entry point of group ``phonopy_mlp.calculators``, a model of the user's own, or a model file.
    device : str, optional
        ``auto``, ``cpu``, ``cuda`` or what else the calculator knows.
    dtype : str, optional
        ``float64`` or ``float32``.
    head : str, optional
        Head of a multi-head model. Handed on only when given.

    Raises
    ------
    TrainingError
        There is no such calculator, or it has no heads.
    MaceMofError
        It is known and cannot be made; its errors are those of its factory.
    """
    settings: dict[str, Any] = {"device": device, "dtype": dtype} | ({} if head is None else {"head": head})
    try:
        return find_calculator(name)(**settings)
    except TypeError as error:
        if head is None or "head" not in str(error):
            raise
        raise TrainingError(f"Head {head!r} of {name!r} was asked for", "It has no heads", "Leave it out") from error


def is_model_file(name: str) -> bool:
    """Return whether a name means a model file."""
    return Path(name).suffix in _MODEL_FILES


def find_calculator(name: str) -> Factory:
    """Return what makes a calculator, loading nothing yet.

    Raises
    ------
    TrainingError
        Nothing has that name; the message has the close ones.
    """
    if is_model_file(name):
        return partial(from_file, name)
    registered = {point.name: partial(_load, point) for point in entry_points(group=_GROUP)}
    known: dict[str, Factory] = {**own_models(), **registered}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise TrainingError(
            f"There is no calculator {name!r}",
            f"Known are {', '.join(sorted(known))}",
            f"Did you mean {' or '.join(close)}?" if close else "Give one of these, or a model file",
        )
    return known[name]


def _load(point: EntryPoint, **settings: Any) -> BaseCalculator:
    calculator: BaseCalculator = point.load()(**settings)
    return calculator

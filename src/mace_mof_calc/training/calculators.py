"""Calculators by name, whoever registers them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ase.calculators.calculator import BaseCalculator

from ..errors import MaceMofError, TrainingError
from ..registry import CALCULATORS, MODEL_FILES, own_models
from .defaults import DEVICE, DTYPE

Factory = Callable[..., BaseCalculator]


def make_calculator(name: str, *, device: str = DEVICE, dtype: str = DTYPE, head: str | None = None) -> BaseCalculator:
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
        There is no such calculator, it has no heads, or its factory failed.
    MaceMofError
        What a factory of this package raises.
    """
    settings: dict[str, Any] = {"device": device, "dtype": dtype} | ({} if head is None else {"head": head})
    try:
        return find_calculator(name)(**settings)
    except MaceMofError:
        raise
    except Exception as error:  # of anybody's factory
        if head is not None and isinstance(error, TypeError) and "head" in str(error):
            raise TrainingError(
                f"Head {head!r} of {name!r} was asked for", "It has no heads", "Leave it out"
            ) from error
        raise TrainingError(
            f"The calculator {name!r} cannot be made", f"{type(error).__name__}: {error}", "Try it on its own first"
        ) from error


def get_digest(calculator: BaseCalculator) -> str | None:
    """Return what tells one model from another of the same name, where the calculator knows it."""
    about: dict[str, Any] = calculator.describe() if hasattr(calculator, "describe") else {}
    digest = about.get("digest")
    return None if digest is None else str(digest)


def find_calculator(name: str) -> Factory:
    """Return what makes a calculator, loading nothing yet.

    Raises
    ------
    TrainingError
        Nothing has that name; the message has the close ones.
    """
    readers = {f".{point.name}": point for point in entry_points(group=MODEL_FILES)}
    if reader := readers.get(Path(name).suffix):
        return partial(_load, reader, name)
    registered = {point.name: partial(_load, point) for point in entry_points(group=CALCULATORS)}
    known: dict[str, Factory] = {**own_models(), **registered}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise TrainingError(
            f"There is no calculator {name!r}",
            f"Known are {', '.join(sorted(known))}",
            f"Did you mean {' or '.join(close)}?" if close else "Give one of these, or a model file",
        )
    return known[name]


def _load(point: EntryPoint, *file: str, **settings: Any) -> BaseCalculator:
    calculator: BaseCalculator = point.load()(*file, **settings)
    return calculator

"""Calculators by name, from the entry points of installed packages."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.errors import CalculatorError
from phonopy_mlp.protocols import SupportsDescription

CALCULATOR_GROUP = "phonopy_mlp.calculators"
"""Entry-point group ``name -> factory(*, device, dtype)``, a factory returning an ASE calculator."""

MODEL_FILE_GROUP = "phonopy_mlp.model_files"
"""Entry-point group ``suffix without dot -> factory(path, *, device, dtype)``."""

MODEL_FILE_SUFFIXES = (".model", ".safetensors", ".json")


def calculator_names() -> tuple[str, ...]:
    """Return the registered calculator names, sorted; nothing is loaded."""
    return tuple(sorted(entry_points(group=CALCULATOR_GROUP).names))


def is_model_file(word: str) -> bool:
    """Return whether a word names a model file by its suffix."""
    return Path(word).suffix in MODEL_FILE_SUFFIXES


def get_calculator(
    model: str, *, device: str = "auto", dtype: str = "float64", head: str | None = None
) -> BaseCalculator:
    """Return the ASE calculator of a registered name or of a model file.

    Parameters
    ----------
    model : str
        A registered name, or the path of a model file (suffix ``.model``, ``.safetensors`` or ``.json``).
    device : str, optional
        ``auto``, ``cpu``, ``cuda`` or what else the calculator knows.
    dtype : str, optional
        ``float64`` or ``float32``.
    head : str, optional
        Head of a multi-head model file. Handed on only when given.

    Raises
    ------
    CalculatorError
        Unknown name (the message has the close ones), or the factory failed (the message has its reason, and the
        remedy where the factory's error has texts `what` and `remedy`).

    """
    settings: dict[str, Any] = {"device": device, "dtype": dtype}
    if head is not None:
        settings["head"] = head
    return _make(find_calculator(model), model, (model,) if is_model_file(model) else (), settings)


def find_calculator(model: str) -> EntryPoint:
    """Return the entry point of a registered name or of a model file, loading nothing.

    Raises
    ------
    CalculatorError
        Unknown name (the message has the close ones), or a model file that no installed package reads.

    """
    if is_model_file(model):
        return _model_file_entry_point(model)
    found = [point for point in entry_points(group=CALCULATOR_GROUP) if point.name == model]
    if not found:
        raise _unknown_name(model)
    return found[0]


def identify(model: str) -> Mapping[str, str | None]:
    """Return what a calculator is made from: the ``model``, and the ``file_digest`` where it is the name of a file."""
    path = Path(model)
    known = is_model_file(model) and path.is_file()
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" if known else None
    return {"model": model, "file_digest": digest}


def describe(calculator: BaseCalculator) -> Mapping[str, Any]:
    """Return what a calculator says of itself, at least its ``name``."""
    if isinstance(calculator, SupportsDescription):
        return dict(calculator.describe())
    return {"name": getattr(calculator, "name", type(calculator).__name__)}


def _model_file_entry_point(model: str) -> EntryPoint:
    suffix = Path(model).suffix.removeprefix(".")
    found = [point for point in entry_points(group=MODEL_FILE_GROUP) if point.name == suffix]
    if not found:
        raise CalculatorError(
            f"Model file '{model}' cannot be opened",
            f"no installed package reads '.{suffix}' model files",
            "Install one that does, for example 'pip install mace-mof-calc'",
        )
    return found[0]


def _make(point: EntryPoint, model: str, arguments: tuple[str, ...], settings: Mapping[str, Any]) -> BaseCalculator:
    try:
        factory: Callable[..., BaseCalculator] = point.load()
        return factory(*arguments, **settings)
    except Exception as error:
        reason, remedy = _explain(error) or (
            str(error) or type(error).__name__,
            f"The calculator comes from '{point.value}'",
        )
        if isinstance(error, TypeError) and "head" in settings and "'head'" in reason:
            reason, remedy = "it has no heads to choose from", "Leave out --head"
        raise CalculatorError(f"Calculator '{model}' could not be made", reason, remedy) from error


def _explain(error: Exception) -> tuple[str, str] | None:
    """Return reason and remedy of an error that has both, as ours and those of mace-mof-calc do."""
    what, why, remedy = (getattr(error, name, None) for name in ("what", "why", "remedy"))
    if not (isinstance(what, str) and isinstance(remedy, str) and remedy.strip()):
        return None
    parts = [part.strip().rstrip(".") for part in (what, why) if isinstance(part, str) and part.strip()]
    return ". ".join(parts), remedy


def _unknown_name(model: str) -> CalculatorError:
    names = calculator_names()
    close = difflib.get_close_matches(model, names, n=3, cutoff=0.4)
    remedy = f"Did you mean {' or '.join(close)}?" if close else "Give one of the registered names, or a model file"
    registered = ", ".join(names) if names else "none; 'pip install mace-mof-calc' adds some"
    return CalculatorError(f"Unknown calculator '{model}'", f"registered are: {registered}", remedy)

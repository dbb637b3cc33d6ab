"""Calculators by name, from the entry points and catalogues of installed packages."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.errors import CalculatorError
from phonopy_mlp.files import file_digest, is_file
from phonopy_mlp.protocols import SupportsDescription

CALCULATOR_GROUP = "phonopy_mlp.calculators"
"""Entry-point group ``name -> factory(*, device, dtype)``, a factory returning an ASE calculator."""

CATALOGUE_GROUP = "phonopy_mlp.catalogues"
"""Entry-point group ``name -> callable()``, the callable returning a mapping ``name -> factory(*, device, dtype)`` of
calculators whose names are known at run time alone. Names of `CALCULATOR_GROUP` come first."""

MODEL_FILE_GROUP = "phonopy_mlp.model_files"
"""Entry-point group ``suffix without dot -> factory(path, *, device, dtype)``."""

MODEL_FILE_SUFFIXES = (".model", ".safetensors", ".json")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a calculator comes from.

    Attributes
    ----------
    name : str
        Its registered name, or the suffix of the model file.
    value : str
        The factory, or the catalogue that offers it, as ``module:name``.
    load : callable
        Returns the factory, importing what it is in.

    """

    name: str
    value: str
    load: Callable[[], Callable[..., BaseCalculator]]


def calculator_names() -> tuple[str, ...]:
    """Return the names of all calculators, sorted; catalogues are asked, and no calculator is loaded."""
    return tuple(sorted({*entry_points(group=CALCULATOR_GROUP).names, *_read_catalogues()}))


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
    question = (*identify(model).values(), *settings.items())
    if _kept is not None and question in _kept:
        return _kept[question]
    made = _make(find_calculator(model), model, (model,) if is_model_file(model) else (), settings)
    if _kept is not None:
        _kept[question] = made
    return made


_kept: dict[tuple[Any, ...], BaseCalculator] | None = None


def keep_calculators() -> None:
    """Have this process make each calculator once, and give it again whenever it is asked for."""
    global _kept
    _kept = {}


def find_calculator(model: str) -> Source:
    """Return where the calculator of a registered name or of a model file comes from, loading none.

    Raises
    ------
    CalculatorError
        Unknown name (the message has the close ones), or a model file that no installed package reads.

    """
    if is_model_file(model):
        return _model_file_source(model)
    for point in entry_points(group=CALCULATOR_GROUP):
        if point.name == model:
            return Source(point.name, point.value, point.load)
    if (offered := _read_catalogues().get(model)) is None:
        raise _unknown_name(model)
    return offered


def identify(model: str) -> Mapping[str, str | None]:
    """Return what a calculator is made from: the ``model``, and the ``file_digest`` where it is the name of a file."""
    path = Path(model)
    known = is_model_file(model) and is_file(path)
    return {"model": model, "file_digest": file_digest(path) if known else None}


def describe(calculator: BaseCalculator) -> Mapping[str, Any]:
    """Return what a calculator says of itself, at least its ``name``."""
    if isinstance(calculator, SupportsDescription):
        return dict(calculator.describe())
    return {"name": getattr(calculator, "name", type(calculator).__name__)}


def _read_catalogues() -> dict[str, Source]:
    """Return what the catalogues of installed packages offer; one that fails is warned of, and left out."""
    offered: dict[str, Source] = {}
    for point in entry_points(group=CATALOGUE_GROUP):
        try:
            factories = dict(point.load()())
        except Exception as error:  # of anybody's package
            warnings.warn(
                f"The catalogue of calculators '{point.value}' failed: {type(error).__name__}: {error}", stacklevel=2
            )
            continue
        for name, factory in factories.items():
            offered.setdefault(name, Source(name, point.value, partial(_identity, factory)))
    return offered


def _identity(factory: Callable[..., BaseCalculator]) -> Callable[..., BaseCalculator]:
    return factory


def _model_file_source(model: str) -> Source:
    suffix = Path(model).suffix.removeprefix(".")
    found = [point for point in entry_points(group=MODEL_FILE_GROUP) if point.name == suffix]
    if not found:
        raise CalculatorError(
            f"Model file '{model}' cannot be opened",
            f"no installed package reads '.{suffix}' model files",
            "Install one that does, for example 'pip install mace-mof-calc'",
        )
    return Source(found[0].name, found[0].value, found[0].load)


def _make(source: Source, model: str, arguments: tuple[str, ...], settings: Mapping[str, Any]) -> BaseCalculator:
    try:
        return source.load()(*arguments, **settings)
    except Exception as error:
        reason, remedy = _explain(error) or (
            str(error) or type(error).__name__,
            f"The calculator comes from '{source.value}'",
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

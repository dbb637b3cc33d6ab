"""Calculators by name, as the steps from crystals to a model take them."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ase.calculators.calculator import Calculator

from ..errors import TrainingError

_GROUP = "phonopy_mlp.calculators"
_MODEL_FILES = frozenset({".json", ".model", ".safetensors"})


def make_calculator(name: str, *, device: str = "auto", dtype: str = "float64") -> Calculator:
    """Make a calculator.

    Parameters
    ----------
    name : str
        An entry point of group ``phonopy_mlp.calculators``, or a model file.
    device : str, optional
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    dtype : str, optional
        ``float64`` or ``float32``.

    Returns
    -------
    Calculator

    Raises
    ------
    TrainingError
        Nothing has that name.
    MaceMofError
        It is known and cannot be made; its errors are those of its factory.
    """
    if is_model_file(name):
        from ..registry import from_file

        return from_file(name, device=device, dtype=dtype)
    calculator: Calculator = find_calculator(name).load()(device=device, dtype=dtype)
    return calculator


def is_model_file(name: str) -> bool:
    """Return whether a name means a model file."""
    return Path(name).suffix in _MODEL_FILES


def find_calculator(name: str) -> EntryPoint:
    """Return the entry point of a calculator, loading nothing.

    Raises
    ------
    TrainingError
        There is none; the message has the close names.
    """
    known = entry_points(group=_GROUP)
    if name not in known.names:
        close = get_close_matches(name, known.names) or sorted(known.names)
        raise TrainingError(
            f"No calculator is called {name!r}",
            f"Close to it: {', '.join(close)}",
            "Give one of these, or a model file (.model, .json, .safetensors)",
        )
    return next(iter(known.select(name=name)))

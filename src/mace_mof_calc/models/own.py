"""The user's own models: packed models in a folder, known by the names of their files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import TrainingError
from ..files import write_file
from ..lock import holding

__all__ = ["MODELS_VARIABLE", "check_free", "check_name", "find_own", "list_own", "own_directory", "register"]

#: Environment variable with a folder of model files.
MODELS_VARIABLE = "MACE_MOF_MODELS"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SUFFIXES = (".model", ".safetensors", ".json", ".domain")  # of model files, and of what lies beside one


def own_directory() -> Path:
    """Return the folder of the user's own models (it need not exist): that of ``MACE_MOF_MODELS``, or the user's."""
    configured = os.environ.get(MODELS_VARIABLE)
    if configured:
        return Path(configured).expanduser()
    from platformdirs import user_data_path

    return user_data_path("mace-mof-calc", appauthor=False) / "models"


def list_own() -> dict[str, Path]:
    """Return the JSON file of each of the user's own models by its name; nothing is opened."""
    found = sorted(own_directory().glob("*.json"))
    return {path.stem: path for path in found if path.with_suffix(".safetensors").is_file()}


def find_own(name: str) -> Path | None:
    """Return the JSON file of one of the user's own models, or None where there is no such model."""
    return list_own().get(name)


def check_name(name: str) -> None:
    """Check that a model may be called so.

    Raises
    ------
    TrainingError
        It is no name.
    """
    if not _NAME.fullmatch(name) or name.endswith(_SUFFIXES):
        raise TrainingError(
            f"A model cannot be called {name!r}",
            "It is called by this name on the command line, and its files are",
            "Use letters, digits and . _ + - and no suffix of a model file",
        )


def check_free(name: str, *, replace: bool = False) -> None:
    """Check that a model of one's own may be called so.

    Parameters
    ----------
    name : str
    replace : bool, optional
        Whether it may take the place of another of one's own.

    Raises
    ------
    TrainingError
        It is no name, the name belongs to a calculator that an installed package registers, or to a model of one's own
        that is not to be replaced.
    """
    from importlib.metadata import entry_points

    from ..registry import CALCULATORS

    check_name(name)
    taken = set(entry_points(group=CALCULATORS).names)
    if name in taken:
        raise TrainingError(
            f"There is a calculator {name!r} already", "It is not one of your own models", "Take another name"
        )
    if not replace and (path := find_own(name)):
        raise TrainingError(
            f"There is a model {name!r} of your own already",
            f"It is {path}",
            "Take another name, or replace it with --replace",
        )


def register(path: Path, name: str, *, replace: bool = False) -> Path:
    """Copy a packed model, and what lies beside it, into the folder of the user's own models.

    The JSON file, by which the model is found, comes last.

    Parameters
    ----------
    path : Path
        Its JSON file.
    name : str
        The name that it is to be known by.
    replace : bool, optional
        Whether it may take the place of another model of one's own. The same model may be registered again.

    Returns
    -------
    Path
        The JSON file in that folder.

    Raises
    ------
    TrainingError
        See `check_free`; or another process registers one of that name.
    OutputError
        The folder cannot be written.
    """
    from ..domain.reference import SUFFIX as DOMAIN_SUFFIX

    target = own_directory() / f"{name}.json"
    if target.is_file() and target.read_bytes() == path.read_bytes():
        return target
    with holding(target.with_suffix(".lock")):
        check_free(name, replace=replace)
        target.unlink(missing_ok=True)  # what is written next belongs to the new one
        target.with_suffix(DOMAIN_SUFFIX).unlink(missing_ok=True)
        for suffix in (".safetensors", DOMAIN_SUFFIX, ".json"):
            if path.with_suffix(suffix).is_file():
                write_file(target.with_suffix(suffix), path.with_suffix(suffix).read_bytes())
    return target

"""How a file of frames was made: ``NAME.manifest.json``, beside ``NAME.extxyz``."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..files import encode_json, parse_json, write_file
from ..models.weights import compute_digest

_FORMAT = "mace-mof-calc manifest 1"

#: Whose version may decide a result; those that are installed are in the manifest.
_PACKAGES = (
    "mace-mof-calc",
    "ase",
    "mace-torch",
    "numpy",
    "pymatgen",
    "pyzeo",
    "spglib",
    "tblite",
    "torch",
    "torch-dftd",
)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A structure or frame that was left out.

    Attributes
    ----------
    name : str
        Its name.
    reason : str
        Why, in words.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a file of frames was made.

    Attributes
    ----------
    step : str
        The command, such as ``label``.
    settings : mapping of str to Any
        All that decides the result, as JSON has it.
    inputs : mapping of str to str
        SHA-256 of each file that was read.
    output : str
        SHA-256 of the file of frames.
    frames : int
        Number of frames in it.
    dropped : tuple of Dropped
        What was left out, and why.
    versions : mapping of str to str
        Of the packages that it may have been made with.
    warnings : tuple of str
        What to keep in mind when using it.
    """

    step: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    output: str
    frames: int
    dropped: tuple[Dropped, ...]
    versions: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def manifest_path(output: Path) -> Path:
    """Return where the manifest of a file of frames lies."""
    return output.with_suffix(".manifest.json")


def write_manifest(output: Path, manifest: Manifest) -> None:
    """Write the manifest of a file of frames.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full.
    """
    write_file(manifest_path(output), encode_json({"format": _FORMAT, **asdict(manifest)}))


def read_manifest(output: Path) -> Manifest:
    """Read the manifest of a file of frames.

    Raises
    ------
    TrainingError
        It has none, or the file was changed since.
    """
    path = manifest_path(output)
    try:
        document = parse_json(path.read_bytes())
        check_mappings(document)
        known = document.pop("format") == _FORMAT
        document["dropped"] = read_dropped(document["dropped"])
        document["warnings"] = tuple(document["warnings"])
        manifest = Manifest(**document)
        check_mappings(manifest.settings, manifest.inputs, manifest.versions)
        digest = compute_digest(output, "sha256")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{output} has no manifest that can be read",
            f"{path}: {type(error).__name__}: {error}",
            "Name another file, or remove it",
        ) from error
    if not known:
        raise TrainingError(f"{path} is of another version", "", "Name another file, or remove it")
    if digest != manifest.output:
        raise TrainingError(
            f"{output} was changed after it was made", f"{path} has another digest", "Name another file, or remove it"
        )
    return manifest


def read_dropped(rows: Any) -> tuple[Dropped, ...]:
    """Return what JSON says was left out.

    Raises
    ------
    TypeError
        It says something else.
    """
    dropped = tuple(Dropped(**row) for row in rows)
    if not all(isinstance(text, str) for each in dropped for text in (each.name, each.reason)):
        raise TypeError("names and reasons of what was left out are not text")
    return dropped


def check_mappings(*values: Any) -> None:
    """Raise a TypeError where a value of JSON is no table."""
    if not all(isinstance(value, Mapping) for value in values):
        raise TypeError("it has no table where one should be")


def list_versions() -> dict[str, str]:
    """Return the versions of the packages that may decide a result."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found

"""What was done, with what, and how long it took: ``phonopy_mlp.yaml``."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import parse_yaml, write_yaml

PROVENANCE_FILE = "phonopy_mlp.yaml"

_PACKAGES = ("phonopy-mlp", "phonopy", "ase", "numpy", "scipy", "spglib", "mace-mof-calc", "mace-torch", "torch")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Record of a run.

    Attributes
    ----------
    command : tuple of str
        Command line, program name first.
    started : datetime
        When the run began, in UTC.
    settings : mapping
        Every setting in force.
    input : mapping
        Input file and its digest, the structure's formula and digest.
    calculator : mapping
        What the calculator says of itself.
    steps : mapping
        One entry for each step that was done, with its numbers and its wall-clock seconds.
    domain : mapping or None
        What of the structure is outside of what the calculator was made for, and what was looked for; None where the
        calculator cannot tell.
    warnings : tuple of str
        What the user was warned of.
    """

    command: tuple[str, ...]
    started: datetime
    settings: Mapping[str, Any]
    input: Mapping[str, Any]
    calculator: Mapping[str, Any]
    steps: Mapping[str, Any]
    domain: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()


def write_provenance(provenance: Provenance, path: Path) -> None:
    """Write a record."""
    record = {
        "phonopy_mlp": {
            "command": list(provenance.command),
            "started": provenance.started.isoformat(timespec="seconds"),
            "versions": installed_versions(),
            "settings": provenance.settings,
            "input": provenance.input,
            "calculator": provenance.calculator,
            "steps": provenance.steps,
            "domain": provenance.domain,
            "warnings": list(provenance.warnings),
        }
    }
    write_yaml(path, plain(record))


def read_provenance(folder: Path) -> Mapping[str, Any] | None:
    """Return the record of the run in a folder, or None where there is none.

    Raises
    ------
    SettingsError
        The file is there but is not such a record.

    """
    path = folder / PROVENANCE_FILE
    return read_record(path) if path.is_file() else None


def read_record(path: Path) -> Mapping[str, Any]:
    """Return the record in a file.

    Raises
    ------
    SettingsError
        It is not a record.

    """
    try:
        record = parse_yaml(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _not_a_record(path, str(error)) from error
    if not isinstance(record, dict) or not isinstance(record.get("phonopy_mlp"), dict):
        raise _not_a_record(path, "it has no section 'phonopy_mlp'")
    return dict(record["phonopy_mlp"])


def installed_versions() -> dict[str, str]:
    """Return versions of Python and of the packages that matter to a result, where installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def plain(value: Any) -> Any:
    """Return nested data as plain Python types that YAML and JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _not_a_record(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"'{path}' is not a record of a run", reason, "Remove it, or choose another folder")

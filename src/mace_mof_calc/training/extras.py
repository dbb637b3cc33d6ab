"""Packages that some of these steps need and the rest of this package does not."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import MissingExtraError

_WHY = {
    "pebble": "It runs processes",
    "pymatgen": "It finds duplicates, and reads and writes files of VASP",
    "pyzeo": "It computes the diameters of pores; it comes for Linux (x86-64) and macOS",
    "spglib": "It finds primitive cells and crystal systems",
}


def require(package: str) -> None:
    """Raise `MissingExtraError` where a package of the extra ``training`` is not installed."""
    if find_spec(package) is None:
        raise MissingExtraError(
            f"{package} is not installed", _WHY[package], 'Install it with: pip install "mace-mof-calc[training]"'
        )

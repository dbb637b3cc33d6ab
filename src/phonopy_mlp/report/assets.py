"""Plotly and the structure viewer, from the packages that bring them, for a page that needs no network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from phonopy_mlp.errors import SettingsError

_PLACES = {"plotly": "package_data/plotly.min.js", "weas_widget": "static/widget.js"}
"""The one file that is wanted of each package. None is imported: weas_widget would load Jupyter's widgets."""


def check_installed() -> None:
    """Raise `SettingsError` where a package that a report needs is not installed."""
    for package in _PLACES:
        _find(package)


def plotly_script() -> str:
    """Return Plotly, a script that defines ``Plotly``."""
    return _find("plotly").read_text(encoding="utf-8")


def viewer_module() -> str:
    """Return the viewer WEAS, a module whose default export has ``render({model, el})``, as anywidget calls it."""
    return _find("weas_widget").read_text(encoding="utf-8")


def _find(package: str) -> Path:
    spec = find_spec(package)
    if spec is not None:
        for folder in spec.submodule_search_locations or ():
            path = Path(folder) / _PLACES[package]
            if path.is_file():
                return path
    raise SettingsError(
        "A report cannot be made",
        f"{package.replace('_', '-')} is not installed, or lacks its script",
        "Install it: pip install 'phonopy-mlp[report]'",
    )

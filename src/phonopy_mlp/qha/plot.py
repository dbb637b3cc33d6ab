"""Figures of the quasi-harmonic approximation, phonopy's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from phonopy.qha import anisotropic_plot, plot

from phonopy_mlp.files import replacing
from phonopy_mlp.qha.axes import AxialQhaResult
from phonopy_mlp.qha.volumes import MlpQhaResult

_PLOTS: dict[str, Callable[..., Any]] = {
    "helmholtz-volume": plot.plot_helmholtz_volume,
    "volume-temperature": plot.plot_volume_temperature,
    "thermal_expansion": plot.plot_thermal_expansion,
    "gibbs-temperature": plot.plot_gibbs_temperature,
    "bulk_modulus-temperature": plot.plot_bulk_modulus_temperature,
    "Cp-temperature": plot.plot_heat_capacity_P,
    "gruneisen-temperature": plot.plot_gruneisen_temperature,
    "qha": plot.plot_qha,
}


def plot_qha(result: MlpQhaResult, folder: Path, *, suffix: str = "pdf") -> None:
    """Draw phonopy-qha's figures into a folder, and ``qha``: F(V), V(T) and volumetric expansion side by side.

    Raises
    ------
    OutputError
        The folder cannot be written.

    """
    for name, draw in _PLOTS.items():
        with warnings.catch_warnings():
            # matplotlib's, of a legend that is taller than its small figure.
            warnings.filterwarnings("ignore", message="Tight layout not applied")
            draw(result.phonopy)
        try:
            with replacing(folder / f"{name}.{suffix}") as path:
                pyplot.savefig(path, format=suffix, dpi=150)
        finally:
            pyplot.close()


def plot_axial_qha(result: AxialQhaResult, folder: Path, *, suffix: str = "pdf") -> None:
    """Draw ``anisotropic_qha`` into a folder: lengths, volume, and axial and volumetric expansion side by side.

    Raises
    ------
    OutputError
        The folder cannot be written.

    """
    figure = anisotropic_plot.plot_anisotropic_qha(result.phonopy)
    try:
        with replacing(folder / f"anisotropic_qha.{suffix}") as path:
            figure.savefig(path, format=suffix, dpi=150)
    finally:
        pyplot.close(figure)

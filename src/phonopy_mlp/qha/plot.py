"""Figures of the quasi-harmonic approximation, phonopy's own and one of F(V)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from phonopy.qha import anisotropic_plot, plot
from phonopy.qha.eos import get_eos
from phonopy.qha.qha import QHAResult

from phonopy_mlp.plot import write_figure
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

_MOST_CURVES = 6
"""Temperatures of which the free energy is drawn."""


def plot_qha(result: MlpQhaResult, folder: Path, *, suffix: str = "pdf") -> None:
    """Draw phonopy-qha's figures into a folder, ``qha`` (F(V), V(T) and volumetric expansion) and ``free_energies``.

    Free energies at some temperatures are drawn from the minimum of each: on phonopy's common scale they look flat.

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
            write_figure(pyplot.gcf(), folder / f"{name}.{suffix}")
        finally:
            pyplot.close()
    write_figure(_draw_free_energies(result.phonopy), folder / f"free_energies.{suffix}")


def _draw_free_energies(result: QHAResult) -> Figure:
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    line, eos = np.linspace(result.volumes[0], result.volumes[-1], 200), get_eos(result.eos_name)
    chosen = np.unique(np.linspace(0, len(result.temperatures) - 1, _MOST_CURVES).astype(int))
    for k, colour in zip(chosen, colormaps["viridis"](np.linspace(0, 0.9, len(chosen))), strict=True):
        lowest, parameters = result.gibbs_free_energies[k], result.eos_parameters[k]
        label = f"{result.temperatures[k]:g} K"
        axes.plot(line, 1e3 * (eos(line, parameters) - lowest), color=colour, linewidth=1, label=label)
        axes.plot(result.volumes, 1e3 * (result.helmholtz_volume[k] - lowest), "o", color=colour, markersize=4)
        axes.plot(result.equilibrium_volumes[k], 0, "x", color=colour)
    axes.set_xlabel(r"Volume ($\mathrm{\AA}^3$/primitive cell)")
    axes.set_ylabel("Free energy above its minimum (meV/primitive cell)")
    axes.legend(frameon=False)
    return figure


def plot_axial_qha(result: AxialQhaResult, folder: Path, *, suffix: str = "pdf") -> None:
    """Draw ``anisotropic_qha`` into a folder: lengths, volume, and axial and volumetric expansion side by side.

    Raises
    ------
    OutputError
        The folder cannot be written.

    """
    figure = anisotropic_plot.plot_anisotropic_qha(result.phonopy)
    try:
        write_figure(figure, folder / f"anisotropic_qha.{suffix}")
    finally:
        pyplot.close(figure)

"""Figures."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from phonopy_mlp.anharmonic import SschaResult
from phonopy_mlp.eos import EosResult
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import replacing
from phonopy_mlp.imaginary import CommensurateModes
from phonopy_mlp.phonons import BandStructure, PhononResult
from phonopy_mlp.qha.tensor import ExpansionTensorResult

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""One for each curve or element, told apart by colour-blind eyes, too (Okabe and Ito)."""


def plot_phonons(result: PhononResult, title: str, *, low_frequency: float = 10.0) -> Figure:
    """Draw bands and element-projected DOS, over the full range and below a cut, and thermal properties.

    Parameters
    ----------
    result : PhononResult
        What to draw.
    title : str
        Over the figure.
    low_frequency : float, optional
        The cut in THz.

    Returns
    -------
    Figure
        Full range, low frequencies where they are a small part of it, thermal properties.

    """
    figure = Figure(figsize=(9, 11), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    lowest, highest = float(result.frequency_points[0]), float(result.frequency_points[-1])
    bottom = min(float(result.frequencies.min()), 0.0)
    tops = (highest,) if highest < 2 * low_frequency else (highest, low_frequency)
    grid = figure.add_gridspec(len(tops) + 1, 2, width_ratios=(3, 1), height_ratios=(*(1.3 for _ in tops), 1))
    for row, top in enumerate(tops):
        bands = figure.add_subplot(grid[row, 0])
        draw_bands(bands, result.bands)
        bands.set_ylim(max(lowest, bottom - 0.02 * top), top)
        dos = figure.add_subplot(grid[row, 1], sharey=bands)
        _draw_dos(dos, result, top)
        dos.tick_params(labelleft=False)
        if row == 0:
            dos.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    dos.set_xlabel("DOS (states/THz/primitive cell)")
    _draw_thermal(figure.add_subplot(grid[-1, :]), result)
    return figure


def plot_eos(result: EosResult, title: str) -> Figure:
    """Draw energies per primitive cell against volume with their equation of state, and what it leaves of them."""
    figure = Figure(figsize=(6.5, 6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    fit, volumes = result.primitive_fit, result.primitive_volumes
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    line = np.linspace(volumes[0], volumes[-1], 200)
    name = fit.eos.replace("_", "-").title()
    above.plot(line, _in_mev(fit.energies(line) - fit.energy), color="#0072b2", linewidth=1, label=f"{name} fit")
    above.plot(volumes, _in_mev(result.primitive_energies - fit.energy), "o", color="#d55e00", label="relaxed")
    above.set_ylabel(r"$E - E_0$ (meV/primitive cell)")
    above.legend(frameon=False, loc="center")
    above.text(
        0.5,
        0.95,
        f"$V_0$ = {fit.volume:.3f} $\\pm$ {fit.volume_error:.1g} $\\mathrm{{\\AA}}^3$\n"
        f"$B_0$ = {fit.bulk_modulus:.3f} $\\pm$ {fit.bulk_modulus_error:.1g} GPa\n"
        f"$B_0'$ = {fit.derivative:.2f} $\\pm$ {fit.derivative_error:.1g}",
        transform=above.transAxes,
        horizontalalignment="center",
        verticalalignment="top",
    )
    below.stem(volumes, _in_mev(fit.residuals), basefmt=" ", linefmt="#d55e00", markerfmt="o")
    below.axhline(0, color="#0072b2", linewidth=1, zorder=0)
    below.set_xlabel(r"Volume ($\mathrm{\AA}^3$/primitive cell)")
    below.set_ylabel("energy minus fit\n(meV/primitive cell)")
    return figure


def plot_sscha(
    result: SschaResult, title: str, *, harmonic: CommensurateModes | None = None, low_frequency: float = 3.0
) -> Figure:
    """Draw how a self-consistent harmonic calculation converged, and its frequencies against temperature.

    Parameters
    ----------
    result : SschaResult
        What to draw.
    title : str
        Over the figure.
    harmonic : CommensurateModes, optional
        Harmonic frequencies at the same q-points, drawn beside the self-consistent ones.
    low_frequency : float, optional
        Frequencies below this (THz) are drawn once more by themselves, where they are a small part of the range.

    Returns
    -------
    Figure
        Free energy of each iteration with its statistical error, the iterations that do not count being hollow;
        mean commensurate frequency of each iteration; all commensurate frequencies at each temperature.

    """
    columns = [(f"{point.temperature:g} K", point.modes.frequencies) for point in result.points]
    if harmonic is not None:
        columns.insert(0, ("harmonic", harmonic.frequencies))
    highest = max(np.nanmax(frequencies) for _, frequencies in columns)
    tops = (None,) if highest < 2 * low_frequency else (None, low_frequency)
    figure = Figure(figsize=(8 + 4 * len(tops), 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    energies, means, *levels = figure.subplots(1, 2 + len(tops))
    for point, colour in zip(result.points, cycle(len(result.points)), strict=True):
        numbers = np.arange(1, len(point.history) + 1)
        departure, errors = 1000 * (point.history - point.free_energy), 1000 * point.history_errors
        label = f"{point.temperature:g} K"
        fills = ["none"] * point.transient + [colour] * (len(numbers) - point.transient)
        energies.errorbar(numbers, departure, errors, color=colour, capsize=2, lw=0.8, zorder=1)
        energies.scatter(numbers, departure, facecolors=fills, edgecolors=colour, zorder=2, label=label)
        means.plot(numbers, point.mean_frequencies, "o-", color=colour, lw=0.8, label=label)
    energies.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    energies.set_ylabel("F - mean (meV per primitive cell)")
    means.set_ylabel("Mean commensurate frequency (THz)")
    for axes in (energies, means):
        axes.set_xlabel("Iteration")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    for axes, top in zip(levels, tops, strict=True):
        for place, (_, frequencies) in enumerate(columns):
            known = frequencies[frequencies < (np.inf if top is None else top)]
            axes.hlines(known, place - 0.4, place + 0.4, color="#0072b2", lw=0.4)
        axes.axhline(0, color="0.4", linewidth=0.6, zorder=0)
        axes.set_xticks(range(len(columns)), [name for name, _ in columns])
        axes.set_ylabel("Commensurate frequencies (THz)")
    return figure


def plot_expansion(result: ExpansionTensorResult, title: str, directions: Mapping[str, np.ndarray[Any, Any]]) -> Figure:
    """Draw linear expansion along some directions, and volumetric expansion, against temperature.

    Parameters
    ----------
    result : ExpansionTensorResult
        What to draw.
    title : str
        Over the figure.
    directions : mapping
        Cartesian vectors of any length by the names that the legend gives them.

    Returns
    -------
    Figure
        A line for each coefficient.

    """
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots()
    for (name, direction), colour in zip(directions.items(), cycle(len(directions)), strict=True):
        unit = direction / np.linalg.norm(direction)
        axes.plot(result.temperatures, 1e6 * unit @ result.expansion @ unit, color=colour, label=f"along {name}")
    axes.plot(result.temperatures, 1e6 * result.volumetric_expansion, color="0.3", linestyle="--", label="volumetric")
    axes.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    axes.set_xlabel("Temperature (K)")
    axes.set_ylabel(r"Coefficient of expansion ($10^{-6}$/K)")
    axes.legend(frameon=False)
    return figure


def check_figure(path: Path) -> None:
    """Raise `SettingsError` for a figure that could not be written: its folder is missing, or its format unknown."""
    formats = FigureCanvasAgg.get_supported_filetypes()
    if not path.parent.is_dir() or path.suffix.removeprefix(".") not in formats:
        raise SettingsError(
            f"Figure '{path}' cannot be written",
            f"its folder must exist, and its suffix be one of {', '.join(sorted(formats))}",
            "Give for example --figure phonons.png",
        )


_TIMES = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""What says when a figure was drawn: the same figure is to be the same file."""


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure, the suffix giving the format."""
    # Drawn in memory: where a disk is full, matplotlib's PDF fails in a way of its own.
    content, form = BytesIO(), path.suffix.removeprefix(".")
    figure.savefig(content, dpi=150, format=form, metadata=_TIMES.get(form))
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def draw_bands(axes: Axes, bands: BandStructure, *, colour: str = "#0072b2", style: str = "-") -> None:
    """Draw bands with the names of the path's corners."""
    ends: list[float] = [0.0]
    names: list[str] = [bands.labels[0][0]]
    for distances, frequencies, (start, end) in zip(bands.distances, bands.frequencies, bands.labels, strict=True):
        axes.plot(distances, frequencies, style, color=colour, linewidth=0.6)
        if start != names[-1]:
            names[-1] = f"{names[-1]}|{start}"
        ends.append(float(distances[-1]))
        names.append(end)
    axes.set_xticks(ends, names)
    for position in ends:
        axes.axvline(position, color="0.7", linewidth=0.6, zorder=0)
    axes.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    axes.set_xlim(ends[0], ends[-1])
    axes.set_ylabel("Frequency (THz)")


def cycle(count: int) -> list[str]:
    """Return so many colours, one after the other."""
    return [COLOURS[k % len(COLOURS)] for k in range(count)]


def _draw_dos(axes: Axes, result: PhononResult, top: float) -> None:
    """Draw the mean density in bins of a two-hundredth of the range, in which flat bands count like all others."""
    points = result.frequency_points
    edges = np.arange(points[0], top + top / 200, top / 200)
    for (element, states), colour in zip(result.element_states.items(), cycle(len(result.element_states)), strict=True):
        _draw_bins(axes, edges, np.interp(edges, points, states), color=colour, lw=0.9, label=element)
    if len(result.element_states) > 1:
        total = np.sum(list(result.element_states.values()), axis=0)
        _draw_bins(axes, edges, np.interp(edges, points, total), color="0.3", lw=0.6, label="total")
    axes.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    axes.set_xlim(left=0)


def _draw_bins(axes: Axes, edges: np.ndarray[Any, Any], states: np.ndarray[Any, Any], **style: Any) -> None:
    axes.stairs(np.diff(states) / np.diff(edges), edges, orientation="horizontal", baseline=None, **style)


def _draw_thermal(axes: Axes, result: PhononResult) -> None:
    twin = axes.twinx()
    marker = "" if len(result.temperatures) > 1 else "o"
    handles = [
        *axes.plot(result.temperatures, result.free_energy, marker=marker, color="#0072b2", label="F (kJ/mol)"),
        *twin.plot(result.temperatures, result.entropy, marker=marker, color="#d55e00", label="S (J/K/mol)"),
        *twin.plot(result.temperatures, result.heat_capacity, marker=marker, color="#009e73", label=r"$C_V$ (J/K/mol)"),
    ]
    axes.set_xlabel("Temperature (K)")
    axes.set_ylabel("F (kJ/mol of primitive cells)")
    twin.set_ylabel(r"S, $C_V$ (J/K/mol of primitive cells)")
    if len(result.temperatures) > 1:
        axes.set_xlim(float(result.temperatures[0]), float(result.temperatures[-1]))
    axes.legend(handles=handles, loc="center left", frameon=False)


def _in_mev(energies: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return energies * 1e3

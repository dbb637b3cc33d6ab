"""Figures of two crystals, or of one by two methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import gaussian_filter1d

from phonopy_mlp.arrays import Array
from phonopy_mlp.compare.dos import DosComparison, TotalDos
from phonopy_mlp.compare.frequencies import FrequencyComparison
from phonopy_mlp.compare.labels import LabelComparison, Parity
from phonopy_mlp.phonons import BandStructure
from phonopy_mlp.plot import COLOURS, cycle, draw_bands

_PAIR = COLOURS[:2]
"""Of A and of B."""

_STYLES: tuple[Literal["-", "--"], ...] = ("-", "--")
_DOS_LABEL = "DOS (states/THz/primitive cell)"
_BINS_PER_WIDTH = 8

Names = tuple[str, str]


def plot_frequencies(
    comparison: FrequencyComparison,
    names: Names,
    title: str,
    *,
    bands: tuple[BandStructure, BandStructure] | None = None,
) -> Figure:
    """Draw bands of both, where given, frequencies of B against those of A, and densities of states with elements.

    Parameters
    ----------
    comparison : FrequencyComparison
        What to draw.
    names : (str, str)
        Of A and B.
    title : str
        Over the figure.
    bands : (BandStructure, BandStructure), optional
        Of A and B along the same path.

    Returns
    -------
    Figure
        Left column over the full range, right column below the comparison's cut, if that is lower.

    """
    lowest = min(0.0, float(np.nanmin(comparison.a)), float(np.nanmin(comparison.b)))
    highest = 1.03 * max(float(np.nanmax(comparison.a)), float(np.nanmax(comparison.b)))
    tops = [highest] + [comparison.cut] * (comparison.cut < highest)
    rows = 3 if bands is None else 4
    figure = Figure(figsize=(5.2 * len(tops) + 1, 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for column, top in enumerate(tops):
        axes = [figure.add_subplot(rows, len(tops), row * len(tops) + column + 1) for row in range(rows)]
        low = lowest - 0.02 * (top - lowest)
        draw_frequency_parity(axes[0], comparison, names, (low, top))
        draw_dos(axes[1], comparison, names, (low, top))
        draw_element_dos(axes[2], comparison, names, (low, top))
        if bands is not None:
            draw_band_overlay(axes[3], bands, names)
            axes[3].set_ylim(low, top)
    return figure


def plot_total_dos(a: TotalDos, b: TotalDos, comparison: DosComparison, names: Names, title: str) -> Figure:
    """Draw two densities of states as far up as they were compared, their cumulated states, and the modes' shifts."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    density, cumulated, shifts = figure.subplots(1, 3)
    top = max(comparison.cut, float(comparison.a[-1]), float(comparison.b[-1]))
    for dos, name, colour in zip((a, b), names, _PAIR, strict=True):
        shown = dos.frequencies <= top
        density.plot(dos.frequencies[shown], dos.density[shown], color=colour, linewidth=0.8, label=name)
        cumulated.plot(dos.frequencies[shown], dos.cumulated[shown], color=colour, linewidth=0.8, label=name)
    start = min(float(comparison.a[0]), float(comparison.b[0]), 0.0)
    for axes, label in ((density, _DOS_LABEL), (cumulated, "Cumulated states per primitive cell")):
        axes.set(xlim=(start, top), xlabel="Frequency (THz)", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
    shifts.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    shifts.plot(comparison.a, comparison.b - comparison.a, ".", color=COLOURS[1])
    shifts.set(xlabel=f"Mode's frequency, {names[0]} (THz)", ylabel=f"{names[1]} $-$ {names[0]} (THz)")
    return figure


def plot_labels(comparison: LabelComparison, names: Names, title: str) -> Figure:
    """Draw energies per atom, forces and stresses of B against those of A, each where both have it."""
    panels: list[tuple[str, str, Mapping[str, Parity]]] = []
    if comparison.energies_per_atom is not None:
        panels.append(("Energy", "eV/atom", {"": comparison.energies_per_atom}))
    if comparison.forces:
        panels.append(("Force components", r"eV/$\mathrm{\AA}$", comparison.forces))
    if comparison.stresses is not None:
        panels.append(("Stress components", r"eV/$\mathrm{\AA}^3$", {"": comparison.stresses}))
    figure = Figure(figsize=(4.6 * len(panels), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, (quantity, unit, parities) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        for (label, parity), colour in zip(parities.items(), cycle(len(parities)), strict=True):
            axes.plot(parity.a.ravel(), parity.b.ravel(), ".", markersize=3, color=colour, label=label, rasterized=True)
        values = np.concatenate([side.ravel() for parity in parities.values() for side in (parity.a, parity.b)])
        margin = 0.04 * max(float(np.ptp(values)), 1e-12)
        _square(axes, (float(values.min()) - margin, float(values.max()) + margin))
        axes.set(title=quantity, xlabel=f"{names[0]} ({unit})", ylabel=f"{names[1]} ({unit})")
        if len(parities) > 1:
            axes.legend(frameon=False, markerscale=3)
    return figure


def draw_frequency_parity(
    axes: Axes, comparison: FrequencyComparison, names: Names, limits: tuple[float, float]
) -> None:
    """Draw B's frequencies against A's, paired by eigenvector, at all q-points; darker where eigenvectors agree."""
    known = np.isfinite(comparison.a)
    points = axes.scatter(
        comparison.a[known],
        comparison.paired("overlap")[known],
        c=comparison.overlaps[known],
        s=4,
        cmap="viridis_r",
        vmin=0,
        vmax=1,
        linewidths=0,
        rasterized=True,
    )
    _square(axes, limits)
    inside = axes.inset_axes((0.5, 0.16, 0.45, 0.04))
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.colorbar(points, cax=inside, orientation="horizontal")
    inside.set_title("overlap of eigenvectors", fontsize="small")
    inside.tick_params(labelsize="small")
    axes.set(xlabel=f"{names[0]} (THz)", ylabel=f"{names[1]} (THz)")


def draw_dos(axes: Axes, comparison: FrequencyComparison, names: Names, limits: tuple[float, float]) -> None:
    """Draw both densities of states."""
    sides = ((comparison.a, comparison.element_weights_a), (comparison.b, comparison.element_weights_b))
    for (frequencies, weights), name, colour in zip(sides, names, _PAIR, strict=True):
        shares = np.sum(list(weights.values()), axis=0)
        axes.plot(*_smeared(frequencies, comparison.weights, shares, limits), color=colour, linewidth=0.9, label=name)
    _finish_dos(axes, limits)
    axes.legend(frameon=False)


def draw_element_dos(axes: Axes, comparison: FrequencyComparison, names: Names, limits: tuple[float, float]) -> None:
    """Draw both densities of states projected on elements, B's dashed."""
    sides = ((comparison.a, comparison.element_weights_a), (comparison.b, comparison.element_weights_b))
    elements = list(comparison.element_weights_a)
    colours = cycle(len(elements))
    for (frequencies, weights), style in zip(sides, _STYLES, strict=True):
        for element, colour in zip(elements, colours, strict=True):
            curve = _smeared(frequencies, comparison.weights, weights[element], limits)
            axes.plot(*curve, style, color=colour, linewidth=0.9)
    _finish_dos(axes, limits)
    handles = [Line2D([], [], color=colour, label=each) for each, colour in zip(elements, colours, strict=True)]
    _add_legend(axes, handles, names)


def draw_band_overlay(axes: Axes, bands: tuple[BandStructure, BandStructure], names: Names) -> None:
    """Draw both bands, B's dashed."""
    for each, colour, style in zip(bands, _PAIR, _STYLES, strict=True):
        draw_bands(axes, each, colour=colour, style=style)
    handles = [
        Line2D([], [], color=colour, linestyle=style, label=name)
        for name, colour, style in zip(names, _PAIR, _STYLES, strict=True)
    ]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)


def _smeared(frequencies: Array, weights: Array, shares: Array, limits: tuple[float, float]) -> tuple[Array, Array]:
    """Return points and density of the modes of a mesh, each spread over a two-hundredth of the limits."""
    width = (limits[1] - limits[0]) / 200
    step = width / _BINS_PER_WIDTH
    edges = np.arange(limits[0] - 5 * width, limits[1] + 5 * width, step)
    known = np.isfinite(frequencies)
    counts = shares * (weights / weights.sum())[:, None]
    states, _ = np.histogram(frequencies[known], bins=edges, weights=counts[known])
    return (edges[:-1] + edges[1:]) / 2, gaussian_filter1d(states / step, _BINS_PER_WIDTH)


def _finish_dos(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_xlim(limits)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"Frequency (THz), smeared by {(limits[1] - limits[0]) / 200:.2g} THz")
    axes.set_ylabel(_DOS_LABEL)


def _add_legend(axes: Axes, handles: Sequence[Line2D], names: Names) -> None:
    grey = [
        Line2D([], [], color="0.3", linestyle=style, label=name) for style, name in zip(_STYLES, names, strict=True)
    ]
    axes.legend(handles=[*handles, *grey], frameon=False, fontsize="small")


def _square(axes: Axes, limits: tuple[float, float]) -> None:
    axes.plot(limits, limits, color="0.4", linewidth=0.6, zorder=0)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")

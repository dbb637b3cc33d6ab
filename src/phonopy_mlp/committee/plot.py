"""Figure of a committee: bands, densities of states and thermal properties with their spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from phonopy_mlp.committee.result import CommitteeResult
from phonopy_mlp.committee.spread import Spread
from phonopy_mlp.phonons import BandStructure
from phonopy_mlp.plot import cycle, draw_bands

Array = np.ndarray[Any, Any]

_SHADES = {"difference": "from one model to the other", "standard_deviation": "mean \u00b1 standard deviation"}


def plot_committee(result: CommitteeResult, title: str, *, low_frequency: float = 10.0) -> Figure:
    """Draw the mean of all members, and shade from one of two to the other, or a standard deviation on either side.

    Parameters
    ----------
    result : CommitteeResult
        What to draw.
    title : str
        Over the figure.
    low_frequency : float, optional
        Bands and densities of states are drawn up to here (THz) a second time, where the spectrum goes further.

    Returns
    -------
    Figure
        Bands and densities of states; thermal properties, and expansion where it was computed, with what is left of
        each member without the mean.

    """
    last = float(result.dos_edges[np.flatnonzero(result.dos.mean)[-1] + 1])
    highest = 1.02 * max(last, *(float(segment.upper.max()) for segment in result.band_frequencies))
    tops = (highest,) if highest < 2 * low_frequency else (highest, low_frequency)
    figure = Figure(figsize=(9.5, 4 * len(tops) + 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    names = " and ".join(str(member.description["name"]) for member in result.members)
    figure.suptitle(f"{title}\n{names}: {_SHADES[result.measure]}")
    grid = figure.add_gridspec(len(tops) + 1, 1, height_ratios=(*(1 for _ in tops), 1))
    bottom = min(0.0, *(float(segment.lower.min()) for segment in result.band_frequencies))
    for row, top in enumerate(tops):
        left, right = figure.add_subfigure(grid[row]).subplots(1, 2, sharey=True, width_ratios=(3, 1))
        _draw_bands(left, result)
        _draw_dos(right, result)
        left.set_ylim(bottom - 0.02 * top, top)
        inside = (result.dos_edges[1:] > bottom) & (result.dos_edges[:-1] < top)
        right.set_xlim(0, 1.05 * float(result.dos.upper[inside].max()))
    right.set_xlabel("DOS (states/THz/primitive cell)")
    curves = [
        ("F (kJ/mol)", result.temperatures, result.free_energy),
        ("S (J/K/mol)", result.temperatures, result.entropy),
        (r"$C_V$ (J/K/mol)", result.temperatures, result.heat_capacity),
    ]
    if result.expansion is not None:
        expansion = result.expansion.volumetric_expansion
        scaled = Spread.of(1e6 * expansion.members)
        curves.append((r"$\alpha_V$ ($10^{-6}$/K)", result.expansion.temperatures, scaled))
    above, below = figure.add_subfigure(grid[-1]).subplots(2, len(curves), sharex=True, height_ratios=(3, 2))
    for whole, rest, (label, temperatures, spread) in zip(above, below, curves, strict=True):
        whole.set_title(label, fontsize="medium")
        _draw_curve(whole, temperatures, spread)
        _draw_curve(rest, temperatures, Spread.of(spread.members - spread.mean))
        rest.set_xlabel("Temperature (K)")
    below[0].set_ylabel("minus mean")
    return figure


def _draw_bands(axes: Axes, result: CommitteeResult) -> None:
    bands = result.bands
    for distances, spread in zip(bands.distances, result.band_frequencies, strict=True):
        for low, high in zip(spread.lower.T, spread.upper.T, strict=True):
            axes.fill_between(distances, low, high, color="#d55e00", alpha=0.3, linewidth=0)
    means = tuple(spread.mean for spread in result.band_frequencies)
    draw_bands(axes, BandStructure(bands.distances, means, bands.qpoints, bands.labels))


def _draw_dos(axes: Axes, result: CommitteeResult) -> None:
    edges, dos = result.dos_edges, result.dos
    axes.stairs(dos.mean, edges, orientation="horizontal", baseline=None, color="#0072b2", linewidth=0.7)
    axes.stairs(dos.upper, edges, orientation="horizontal", baseline=dos.lower, fill=True, color="#d55e00", alpha=0.3)
    axes.axhline(0, color="0.4", linewidth=0.6, zorder=0)


def _draw_curve(axes: Axes, temperatures: Array, spread: Spread) -> None:
    marker = "" if len(temperatures) > 1 else "o"
    axes.fill_between(temperatures, spread.lower, spread.upper, color="#d55e00", alpha=0.3, linewidth=0)
    for own, colour in zip(spread.members, cycle(len(spread.members)), strict=True):
        axes.plot(temperatures, own, marker=marker, color=colour, linewidth=0.5)
    axes.plot(temperatures, spread.mean, marker=marker, color="black", linewidth=1)

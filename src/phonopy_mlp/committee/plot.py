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

_STATIC = "static B (GPa)"
"""Title of what has no temperature."""

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
        Bands and densities of states; thermal properties, and volume, expansion and bulk modulus where they were
        computed, with what is left of each member without the mean.

    """
    last = float(result.dos_edges[np.flatnonzero(result.dos.mean)[-1] + 1])
    highest = 1.02 * max(last, *(float(segment.upper.max()) for segment in result.band_frequencies))
    tops = (highest,) if highest < 2 * low_frequency else (highest, low_frequency)
    rows = _curves(result)
    figure = Figure(figsize=(9.5, 4 * len(tops) + 4.2 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    names = " and ".join(str(member.description["name"]) for member in result.members)
    figure.suptitle(f"{title}\n{names}: {_SHADES[result.measure]}")
    grid = figure.add_gridspec(len(tops) + len(rows), 1)
    bottom = min(0.0, *(float(segment.lower.min()) for segment in result.band_frequencies))
    for row, top in enumerate(tops):
        left, right = figure.add_subfigure(grid[row]).subplots(1, 2, sharey=True, width_ratios=(3, 1))
        _draw_bands(left, result)
        _draw_dos(right, result)
        left.set_ylim(bottom - 0.02 * top, top)
        inside = (result.dos_edges[1:] > bottom) & (result.dos_edges[:-1] < top)
        right.set_xlim(0, 1.05 * float(result.dos.upper[inside].max()))
    right.set_xlabel("DOS (states/THz/primitive cell)")
    for k, curves in enumerate(rows, start=len(tops)):
        above, below = figure.add_subfigure(grid[k]).subplots(
            2, len(curves), sharex="col", height_ratios=(3, 2), squeeze=False
        )
        for whole, rest, (label, temperatures, spread) in zip(above, below, curves, strict=True):
            whole.set_title(label, fontsize="medium")
            _draw_curve(whole, temperatures, spread)
            _draw_curve(rest, temperatures, Spread.of(spread.members - spread.mean))
            if label == _STATIC:
                rest.set_xticks([])
            else:
                rest.set_xlabel("Temperature (K)")
        below[0].set_ylabel("minus mean")
    return figure


def _curves(result: CommitteeResult) -> list[list[tuple[str, Array, Spread]]]:
    """Return rows of curves: title, temperatures (of the static crystal a place), and quantity by each member."""
    rows = [
        [
            ("F (kJ/mol)", result.temperatures, result.free_energy),
            ("S (J/K/mol)", result.temperatures, result.entropy),
            (r"$C_V$ (J/K/mol)", result.temperatures, result.heat_capacity),
        ]
    ]
    lattice = []
    if result.expansion is not None:
        temperatures, expansion = result.expansion.temperatures, result.expansion.volumetric_expansion
        lattice += [
            (r"V ($\mathrm{\AA}^3$)", temperatures, result.expansion.volume),
            (r"$\alpha_V$ ($10^{-6}$/K)", temperatures, Spread.of(1e6 * expansion.members)),
            ("B (GPa)", temperatures, result.expansion.bulk_modulus),
        ]
    if result.bulk_modulus is not None:
        lattice.append((_STATIC, np.zeros(1), Spread.of(result.bulk_modulus.members[:, None])))
    return [*rows, lattice] if lattice else rows


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
    if len(temperatures) > 1:
        axes.plot(temperatures, spread.mean, color="black", linewidth=1)
    else:
        ends = [spread.mean - spread.lower, spread.upper - spread.mean]
        axes.errorbar(temperatures, spread.mean, ends, fmt="o", color="black", capsize=4)

"""Plots of what a choice of frameworks covers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...files import encode_figure
from .choose import Choice
from .describe import Description
from .symmetry import SYSTEMS
from .table import Row

Array = np.ndarray[Any, Any]

_ALL, _CHOSEN = "0.75", "tab:blue"


def plot_coverage(
    rows: Sequence[Row], elements: Sequence[frozenset[str]], descriptions: Sequence[Description], choice: Choice
) -> bytes:
    """Plot what is covered by a choice.

    Parameters
    ----------
    rows : sequence of Row
        Of the structures that were left to choose from.
    elements : sequence of frozenset of str
        Elements of each,
    descriptions : sequence of Description
        and descriptors.
    choice : Choice

    Returns
    -------
    bytes
        A PNG: principal components of the descriptors of linkers and of nodes, how far the farthest structure is from
        the chosen ones against their number, and how many structures there are, and were chosen, of each crystal
        system, with each element, and of each pore limiting diameter.
    """
    figure = Figure(figsize=(13.0, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[choice.chosen] = True
    _scatter(axes[0, 0], [each.linker for each in descriptions], chosen, "linkers")
    _scatter(axes[0, 1], [each.node for each in descriptions], chosen, "nodes")
    _plot_gaps(axes[0, 2], choice)
    _bars(axes[1, 0], [[row.crystal_system] for row in rows], chosen, SYSTEMS, "crystal system")
    found = Counter(element for own in elements for element in own)
    _bars(axes[1, 1], elements, chosen, sorted(found, key=lambda each: (-found[each], each)), "element")
    axes[1, 1].set(yscale="log", ylim=(0.5, None))  # a single structure is to be seen among a hundred
    axes[1, 1].yaxis.set_major_formatter("{x:g}")
    axes[1, 1].tick_params(axis="x", labelsize=8)
    _histogram(axes[1, 2], np.array([row.limiting for row in rows], dtype=float), chosen)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return encode_figure(figure)


def _scatter(axes: Axes, vectors: Sequence[Array], chosen: Array, title: str) -> None:
    centred = np.array(vectors) - np.mean(vectors, axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    first, second = (left * values)[:, :2].T if min(centred.shape) > 1 else np.zeros((2, len(vectors)))
    shares = 100.0 * values**2 / max((values**2).sum(), np.finfo(float).tiny)
    axes.scatter(first[chosen], second[chosen], color=_CHOSEN, s=30, label="chosen")
    axes.scatter(
        first[~chosen], second[~chosen], facecolor=_ALL, edgecolor="0.4", linewidth=0.5, s=14, label="not chosen"
    )
    for k, name in enumerate("xy"):
        share = f" ({shares[k]:.0f} %)" if k < len(shares) else ""
        axes.set(**{f"{name}label": f"principal component {k + 1}{share}"})
    axes.set_title(f"Descriptors of {title}")


def _plot_gaps(axes: Axes, choice: Choice) -> None:
    axes.plot(np.arange(1, len(choice.gaps) + 1), choice.gaps, color=_CHOSEN)
    axes.plot(choice.count, choice.gaps[choice.count - 1], "o", color=_CHOSEN)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="structures chosen", ylabel="of the farthest structure, scaled", ylim=(0.0, None))
    axes.set_title(f"Distance from the chosen ones: {choice.count} of {len(choice.order)}")


def _bars(
    axes: Axes, labels: Sequence[Sequence[str] | frozenset[str]], chosen: Array, names: Sequence[str], title: str
) -> None:
    everywhere = Counter(label for own in labels for label in own)
    here = Counter(label for own, is_chosen in zip(labels, chosen, strict=True) if is_chosen for label in own)
    places = np.arange(len(names))
    axes.bar(places, [everywhere[name] for name in names], color=_ALL)
    axes.bar(places, [here[name] for name in names], color=_CHOSEN)
    slanted = max(map(len, names)) > 2
    axes.set_xticks(places, names, rotation=30 if slanted else 0, ha="right" if slanted else "center")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(ylabel="structures", title=f"By {title}")


def _histogram(axes: Axes, diameters: Array, chosen: Array) -> None:
    edges = np.arange(np.floor(diameters.min()), np.ceil(diameters.max()) + 1.5).tolist()
    axes.hist(diameters, bins=edges, color=_ALL)
    axes.hist(diameters[chosen], bins=edges, color=_CHOSEN)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="pore limiting diameter / A", ylabel="structures", title="By pore limiting diameter")

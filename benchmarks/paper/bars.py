"""Bars of several methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from phonopy_mlp.plot import COLOURS, cycle

Values = Mapping[tuple[str, str], float]
"""By method and group."""


def draw_bars(panels: Mapping[str, Values], *, log: bool = False) -> Figure:
    """Draw a panel for each quantity: for each group a bar of every method that has a value there.

    Parameters
    ----------
    panels : mapping
        Label of the axis to values.
    log : bool, optional
        Draw logarithmically.

    """
    groups = {label: list(dict.fromkeys(group for _, group in values)) for label, values in panels.items()}
    methods = list(dict.fromkeys(method for values in panels.values() for method, _ in values))
    width = max(8.0, 0.12 * len(methods) * max(map(len, groups.values())))
    figure = Figure(figsize=(min(width, 16), 3.2 * len(panels) + 0.25 * len(methods)), layout="constrained")
    for axes, (label, values) in zip(np.ravel(figure.subplots(len(panels), 1)), panels.items(), strict=True):
        _draw(axes, values, methods, groups[label])
        axes.set_ylabel(label)
        if log:
            axes.set_yscale("log")
        else:
            axes.axhline(0, color="0.4", linewidth=0.6)
    handles = [
        Patch(facecolor=colour, hatch=hatch, label=method)
        for method, (colour, hatch) in zip(methods, _styles(len(methods)), strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize="small")
    return figure


def _draw(axes: Axes, values: Values, methods: Sequence[str], groups: Sequence[str]) -> None:
    width = 0.8 / len(methods)
    for k, (method, (colour, hatch)) in enumerate(zip(methods, _styles(len(methods)), strict=True)):
        found = {group: value for (own, group), value in values.items() if own == method}
        places = [groups.index(group) + (k - (len(methods) - 1) / 2) * width for group in found]
        axes.bar(places, list(found.values()), width, color=colour, hatch=hatch)
    axes.set_xticks(range(len(groups)), groups, rotation=90 if len(groups) > 6 else 0)


def _styles(count: int) -> list[tuple[str, str]]:
    """Return a colour and a hatch for each of so many methods, the hatch for those whose colour is taken."""
    return [(colour, "//" * (k // len(COLOURS))) for k, colour in enumerate(cycle(count))]

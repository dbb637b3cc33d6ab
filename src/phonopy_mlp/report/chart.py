"""Curves over one pair of axes, described once and drawn twice: by Plotly and by Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as StaticFigure

from phonopy_mlp.plot import COLOURS
from phonopy_mlp.report.section import INK, Figure

Array = np.ndarray[Any, Any]


Style = Literal["line", "points", "both"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve.

    Attributes
    ----------
    x, y : ndarray
        shape=(points,)
    label : str
        In the legend, which is drawn where there are several curves; none there where it is empty.
    colour : str
    style : str
        ``line``, ``points``, or ``both``.
    errors : ndarray or None
        Standard uncertainties of `y`. shape=(points,)

    """

    x: Array
    y: Array
    label: str = ""
    colour: str = COLOURS[0]
    style: Style = "line"
    errors: Array | None = None


def draw_chart(
    name: str, caption: str, x_title: str, y_title: str, curves: Sequence[Curve], *, counts: bool = False
) -> Figure:
    """Return a figure of some curves; the titles of the axes say their units, or that `x` counts something."""
    ticks = {"dtick": max(1, round(max(len(curve.x) for curve in curves) / 8))} if counts else {}
    return Figure(
        name=name,
        caption=caption,
        data=tuple(_trace(curve) for curve in curves),
        layout={
            "xaxis": {"title": {"text": x_title}, **ticks},
            "yaxis": {"title": {"text": y_title}},
            "showlegend": len(curves) > 1,
        },
        draw=lambda: _draw(x_title, y_title, curves),
    )


def rounded(values: Any, digits: int = 6) -> list[Any]:
    """Return numbers as lists, to so many significant digits, NaN as None, which Plotly leaves out."""
    array = np.asarray(values, dtype=float)
    if array.ndim > 1:
        return [rounded(row, digits) for row in array]
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in array]


def _trace(curve: Curve) -> Mapping[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "x": rounded(curve.x),
        # Energies of thousands of eV are told apart by their last digits.
        "y": rounded(curve.y, 10),
        "name": curve.label,
        "showlegend": bool(curve.label),
        "mode": {"line": "lines", "points": "markers", "both": "lines+markers"}[curve.style],
        "line": {"color": curve.colour, "width": 1.8},
        "marker": {"color": curve.colour, "size": 7},
        "hovertemplate": "%{x:.6g}, %{y:.6g}",
    }
    if curve.errors is not None:
        trace["error_y"] = {"type": "data", "array": rounded(curve.errors), "color": curve.colour, "thickness": 1.2}
        trace["hovertemplate"] += " ± %{error_y.array:.2g}"
    trace["hovertemplate"] += "<extra>%{fullData.name}</extra>" if curve.label else "<extra></extra>"
    return trace


def _draw(x_title: str, y_title: str, curves: Sequence[Curve]) -> StaticFigure:
    figure = StaticFigure(figsize=(5.5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    formats = {"line": "-", "points": "o", "both": "o-"}
    for curve in curves:
        colour = "0.2" if curve.colour == INK else curve.colour
        axes.errorbar(
            curve.x,
            curve.y,
            curve.errors,
            fmt=formats[curve.style],
            color=colour,
            label=curve.label or "_",
            capsize=2,
            ms=5,
        )
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    if len(curves) > 1:
        axes.legend(frameon=False)
    return figure

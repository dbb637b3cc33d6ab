"""What a report consists of: sections of text and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as StaticFigure


@dataclass(frozen=True, slots=True)
class View:
    """A part of a figure that a button shows.

    Attributes
    ----------
    label : str
        On the button.
    visible : tuple of bool
        Which of the figure's traces are drawn.
    layout : mapping
        What changes in the figure's layout.

    """

    label: str
    visible: tuple[bool, ...]
    layout: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, drawn by Plotly in the page and by Matplotlib in files of its own.

    Attributes
    ----------
    name : str
        Of the files, and of the element in the page.
    caption : str
        Plain text.
    data : tuple of mapping
        Plotly's traces. The colour ``INK`` is the text's.
    layout : mapping
        Plotly's layout; fonts, colours of the theme and margins are the page's.
    draw : callable
        Returns the static figure.
    height : int
        In the page, in pixels.
    wide : bool
        Whether it takes a row of its own.
    views : tuple of View
        The first one is shown first.

    """

    name: str
    caption: str
    data: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any]
    draw: Callable[[], StaticFigure]
    height: int = 340
    wide: bool = False
    views: tuple[View, ...] = ()


INK = "INK"
"""Colour of a curve that has the colour of the text, black by day and white by night."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report.

    Attributes
    ----------
    name : str
        Short, of letters and hyphens; its address in the page.
    title : str
        Plain text.
    before, after : str
        HTML before and after the figures.
    figures : tuple of Figure
    facts : tuple of (str, str)
        What the top of the page says of it: names and values, plain text.
    payload : mapping
        Data for the page's own script, such as structures for the viewer.

    """

    name: str
    title: str
    before: str = ""
    after: str = ""
    figures: tuple[Figure, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    payload: Mapping[str, Any] | None = None

"""The page, and its figures as files."""

from __future__ import annotations

import base64
import gzip
import json
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

from matplotlib import rc_context

from phonopy_mlp.files import check_folder, replacing
from phonopy_mlp.output import REPORT_FILE
from phonopy_mlp.plot import write_figure
from phonopy_mlp.report.assets import check_installed, plotly_script, viewer_module
from phonopy_mlp.report.folder import FinishedRun, read_folder, unreadable
from phonopy_mlp.report.section import Figure, Section
from phonopy_mlp.report.sections import (
    bands,
    committee,
    elastic,
    eos,
    health,
    method,
    modes,
    qha,
    relaxation,
    sscha,
    stability,
    structure,
    thermal,
)

FIGURES_FOLDER = "report_figures"
FORMATS = ("png", "svg", "pdf")

_SECTIONS = (
    health,
    structure,
    relaxation,
    stability,
    bands,
    modes,
    thermal,
    eos,
    elastic,
    qha,
    sscha,
    committee,
    method,
)
"""In the order of the page."""

_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write ``report.html`` on the run in a folder, and ``report_figures`` with each figure as PNG, SVG and PDF.

    Other figures in that folder are removed. The page holds all it needs: it opens from a file, without a network.

    Parameters
    ----------
    folder : Path
        Where a run, or a step, was finished.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    SettingsError
        There is no finished run, a file of it cannot be read, or a package that reports need is not installed.
    OutputError
        The folder cannot be written.

    """
    check_installed()
    run = read_folder(folder)
    sections = [section for section in (_make(module, run) for module in _SECTIONS) if section is not None]
    page = render(run, sections)
    _write_figures([figure for section in sections for figure in section.figures], folder / FIGURES_FOLDER)
    with replacing(folder / REPORT_FILE) as path:
        path.write_text(page, encoding="utf-8")
    return folder / REPORT_FILE


def _make(module: ModuleType, run: FinishedRun) -> Section | None:
    """Return a section, or say in a sentence which file lacks what the section needs."""
    run.opened.clear()
    try:
        found: Section | None = module.make(run)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise unreadable(
            # Each file is looked at before the next one is read; a section that reads none is of the records.
            run.opened[-1] if run.opened else run.folder / next(iter(run.records)),
            f"it does not hold what section '{module.__name__.rpartition('.')[2]}' of a report shows "
            f"({type(error).__name__}: {' '.join(str(error).split())})",
        ) from error
    return found


def render(run: FinishedRun, sections: Sequence[Section]) -> str:
    """Return the page of some sections."""
    given = run.main.get("input") or {}
    name = Path(str(given.get("file") or run.folder.name)).name
    calculator = (run.main.get("calculator") or {}).get("name", "unknown model")
    started = str(run.main.get("started") or "")[:16].replace("T", " ")
    tiles = "".join(
        f"<div><span>{escape(label)}</span><b>{escape(value)}</b></div>"
        for section in sections
        for label, value in section.facts
    )
    figures = [figure for section in sections for figure in section.figures]
    data = {
        "figures": {figure.name: _plotly(figure) for figure in figures},
        **{key: value for section in sections for key, value in (section.payload or {}).items()},
    }
    return Template((_HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(name),
        subtitle=escape(f"{given.get('formula', '')} · {calculator} · {started} UTC"),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        links="".join(f'<a href="#{section.name}">{escape(section.title)}</a>' for section in sections),
        tiles=tiles,
        sections="".join(map(_render, sections)),
        plotly=packed(plotly_script()),
        viewer=packed(viewer_module()),
        data=packed(json.dumps(data, allow_nan=False, separators=(",", ":"))),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
    )


def packed(text: str) -> str:
    """Return text compressed by gzip, in base64: a third of Plotly's size, and nothing in it ends an HTML element."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


def _render(section: Section) -> str:
    figures = "".join(
        f'<figure class="{"wide" if figure.wide else ""}"><div class="views"></div>'
        f'<div class="plot" id="figure-{figure.name}" style="height:{figure.height}px"></div>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
        for figure in section.figures
    )
    grid = f'<div class="figures">{figures}</div>' if figures else ""
    return (
        f'<section id="{section.name}"><h2>{escape(section.title)}</h2>{section.before}{grid}{section.after}</section>'
    )


def _plotly(figure: Figure) -> Mapping[str, Any]:
    views = [{"label": view.label, "visible": view.visible, "layout": view.layout} for view in figure.views]
    return {"data": figure.data, "layout": figure.layout, "views": views}


def _write_figures(figures: Sequence[Figure], folder: Path) -> None:
    """Write all figures, and remove what an earlier report has left besides."""
    check_folder(folder)
    for figure in figures:
        _write_figure(figure, folder)
    names = {figure.name for figure in figures}
    for path in folder.iterdir():
        if path.suffix.removeprefix(".") in FORMATS and path.stem not in names:
            path.unlink()


def _write_figure(figure: Figure, folder: Path) -> None:
    drawn = figure.draw()
    # Searchable text in SVG: the same run gives the same files.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": figure.name}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for suffix in FORMATS:
            write_figure(drawn, folder / f"{figure.name}.{suffix}")
            # Laid out once: that takes as long as drawing.
            drawn.set_layout_engine("none")

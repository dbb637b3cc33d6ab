"""Bands, with the density of states beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phonopy_mlp.phonons import BandStructure, PhononResult
from phonopy_mlp.plot import COLOURS, plot_phonons
from phonopy_mlp.report.chart import Array, rounded
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import paragraph
from phonopy_mlp.report.section import INK, Figure, Section, View

_TOPS = (10.0, 3.0)
"""Highest frequencies (THz) of the views below the full range."""

_BINS = 200
_GREEK = {"\\Gamma": "Γ", "\\Delta": "Δ", "\\Lambda": "Λ", "\\Sigma": "Σ"}


def make(run: FinishedRun) -> Section | None:
    """Return bands and densities of states of the folder's force constants."""
    if run.harmonic is None:
        return None
    phonons, modes = run.harmonic.phonons, run.harmonic.modes
    highest = float(phonons.frequencies.max())
    mesh = " × ".join(map(str, phonons.mesh))
    atoms = len(run.harmonic.phonon.primitive)
    return Section(
        "bands",
        "Bands and density of states",
        before=paragraph(
            f"{atoms} atoms in the primitive cell, {3 * atoms} bands. Density of states on a {mesh} mesh, tetrahedron "
            "method, the mean over 200 bins of the range shown. Imaginary frequencies are drawn as negative ones."
        ),
        figures=(_draw(phonons, _title(run)),),
        facts=(
            ("Highest frequency", f"{highest:.3f} THz"),
            ("Lowest commensurate frequency", f"{modes.lowest:.3f} THz"),
        ),
    )


def plain_label(label: str) -> str:
    """Return the name of a q-point without TeX, an index as HTML."""
    name = label.strip("$").removeprefix("\\mathrm{").removesuffix("}")
    for spelled, letter in _GREEK.items():
        name = name.replace(spelled, letter)
    letter, _, index = name.partition("_")
    return f"{letter}<sub>{index}</sub>" if index else letter


def _title(run: FinishedRun) -> str:
    """Return the input's name for Matplotlib, to which a dollar sign begins a formula."""
    return str((run.main.get("input") or {}).get("file") or run.folder.name).replace("$", "\\$")


def _draw(phonons: PhononResult, title: str) -> Figure:
    bottom = float(min(phonons.frequencies.min(), *(segment.min() for segment in phonons.bands.frequencies), 0.0))
    highest = float(phonons.frequencies.max())
    tops = [1.03 * highest, *(top for top in _TOPS if highest > 1.5 * top)]
    bands = _band_traces(phonons.bands)
    densities = [_density_traces(phonons, bottom, top) for top in tops]
    count = len(densities[0])
    views = tuple(
        View(
            "full range" if k == 0 else f"below {top:g} THz",
            tuple([True] * len(bands) + [k == other for other in range(len(tops)) for _ in range(count)]),
            {"yaxis.range": [1.1 * bottom - 0.02 * top, top], "xaxis2.range": [0, _widest(densities[k])]},
        )
        for k, top in enumerate(tops)
    )
    ends, names = _ticks(phonons.bands)
    return Figure(
        name="phonons",
        caption="Point at a band for q (in units of the primitive cell's reciprocal vectors), frequency, and band.",
        data=(*bands, *(trace for group in densities for trace in group)),
        layout={
            "xaxis": {"domain": [0, 0.7], "tickvals": ends, "ticktext": names, "range": [ends[0], ends[-1]]},
            "yaxis": {"title": {"text": "Frequency (THz)"}, "zeroline": True, "range": views[0].layout["yaxis.range"]},
            "xaxis2": {"domain": [0.74, 1], "anchor": "y", "title": {"text": "DOS (1/THz)"}, "rangemode": "tozero"},
            "hovermode": "closest",
            "showlegend": True,
        },
        draw=lambda: plot_phonons(phonons, title),
        height=560,
        wide=True,
        views=views,
    )


def _band_traces(bands: BandStructure) -> list[Mapping[str, Any]]:
    """Return a trace for each band along the whole path, with a gap between segments."""
    gap = np.array([np.nan])
    distances = rounded(np.concatenate([part for segment in bands.distances for part in (segment, gap)]), 5)
    qpoints = [text for segment in bands.qpoints for text in (*(f"({_vector(q)})" for q in segment), "")]
    frequencies = np.concatenate(
        [part for segment in bands.frequencies for part in (segment, np.full((1, segment.shape[1]), np.nan))]
    )
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": distances,
            "y": [round(value, 3) if np.isfinite(value) else None for value in band.tolist()],
            "text": qpoints,
            "line": {"color": COLOURS[0], "width": 0.9},
            "hovertemplate": f"q = %{{text}}<br>%{{y:.3f}} THz<br>band {number}<extra></extra>",
            "showlegend": False,
        }
        for number, band in enumerate(frequencies.T, start=1)
    ]


def _density_traces(phonons: PhononResult, bottom: float, top: float) -> list[Mapping[str, Any]]:
    """Return the mean density in each bin, of each element and in total; flat bands count like all others."""
    points = phonons.frequency_points
    edges = np.linspace(min(bottom, 0.0), top, _BINS + 1)
    shown = dict(zip(phonons.element_states, COLOURS * len(phonons.element_states), strict=False))
    states = dict(phonons.element_states)
    if len(states) > 1:
        states["total"] = np.sum(list(states.values()), axis=0)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": rounded(_mean_density(points, count, edges), 4),
            "y": rounded((edges[:-1] + edges[1:]) / 2, 5),
            "name": name,
            "xaxis": "x2",
            "line": {"shape": "vh", "width": 1.2, "color": shown.get(name, INK)},
            "hovertemplate": "%{x:.3g} states/THz at %{y:.2f} THz<extra>%{fullData.name}</extra>",
        }
        for name, count in states.items()
    ]


def _mean_density(points: Array, states: Array, edges: Array) -> Array:
    return np.diff(np.interp(edges, points, states)) / np.diff(edges)


def _widest(traces: list[Mapping[str, Any]]) -> float:
    return 1.05 * float(max(max(trace["x"]) for trace in traces))


def _ticks(bands: BandStructure) -> tuple[list[float], list[str]]:
    ends, names = [0.0], [plain_label(bands.labels[0][0])]
    for distances, (start, end) in zip(bands.distances, bands.labels, strict=True):
        if plain_label(start) != names[-1]:
            names[-1] = f"{names[-1]}|{plain_label(start)}"
        ends.append(round(float(distances[-1]), 6))
        names.append(plain_label(end))
    return ends, names


def _vector(q: Array) -> str:
    return ", ".join(f"{round(float(component), 3) + 0.0:g}" for component in q)

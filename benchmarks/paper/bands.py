"""Fig. 4 and Fig. 5: densities of states and bands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from phonopy import Phonopy

from paper.study import Study
from phonopy_mlp.arrays import frozen
from phonopy_mlp.compare import compare_total_dos, match_crystals
from phonopy_mlp.compare.dos import TotalDos
from phonopy_mlp.compare.plots import draw_band_overlay
from phonopy_mlp.phonons import BandStructure, PhononResult, compute_phonons
from phonopy_mlp.plot import cycle, plot_phonons
from phonopy_mlp.structures import from_phonopy

LOW = 10.0
"""THz below which frequencies are drawn once more, and bands alone."""

Curve = tuple[NDArray[Any], NDArray[Any]]
"""Frequencies, and the states below each."""


def run(study: Study) -> None:
    """Write ``fig4-5.csv`` and figures for each framework.

    ``fig4-5-NAME.png`` has the model alone; where there are published ones, ``fig4-NAME.png`` has all densities of
    states and ``fig5-NAME.png`` ours and each published model's bands along the published path.
    """
    rows: list[dict[str, Any]] = []
    for name in study.frameworks:
        with study.trying(name, "bands"):
            phonon = study.phonons(name)
            phonons = compute_phonons(phonon, mesh=study.mesh)
            rows.append(_row(study, name, phonons))
            study.write_figure(f"fig4-5-{name}", plot_phonons(phonons, f"{name}, {study.title}"))
            _draw_beside(study, name, phonon, phonons)
        rows += _published_rows(study, name)
    study.write_table("fig4-5", rows)


def _row(study: Study, name: str, phonons: PhononResult) -> dict[str, Any]:
    room = abs(phonons.temperatures - 300).argmin()
    row = {
        "framework": name,
        "model": study.title,
        "mesh": " ".join(map(str, study.mesh)),
        "lowest_THz": float(phonons.frequencies.min()),
        "highest_THz": float(phonons.frequencies.max()),
        "zero_point_kJ_per_mol": float(phonons.free_energy[0]),
        "heat_capacity_300_K_J_per_K_mol": float(phonons.heat_capacity[room]),
    }
    return row | _against_dft(study, name, study.title, _mean_density(phonons))


def _states(phonons: PhononResult) -> NDArray[Any]:
    return np.asarray(np.sum(list(phonons.element_states.values()), axis=0))


def _mean_density(phonons: PhononResult) -> TotalDos:
    """Return the density between points: that at the points lacks flat bands or counts them several times over."""
    points = phonons.frequency_points
    return TotalDos(frozen(points[1:]), frozen(np.diff(_states(phonons)) / np.diff(points)))


def _published_rows(study: Study, name: str) -> list[dict[str, Any]]:
    rows = []
    thermal = study.published.thermal(name)
    for method, dos in study.published.dos(name).items():
        occupied = dos.frequencies[dos.density > 0]
        row = {
            "framework": name,
            "model": f"{method} (paper)",
            "lowest_THz": float(occupied[0]),
            "highest_THz": float(occupied[-1]),
        }
        if method in thermal:
            temperatures, heat_capacity, free_energy, _ = thermal[method].T
            row["zero_point_kJ_per_mol"] = float(free_energy[0])
            row["heat_capacity_300_K_J_per_K_mol"] = float(np.interp(300, temperatures, heat_capacity))
        if method != "DFT":
            row |= _against_dft(study, name, method, dos)
        rows.append(row)
    return rows


def _against_dft(study: Study, name: str, method: str, dos: TotalDos) -> dict[str, Any]:
    """Return how far the lowest modes are from those of the published DFT density, as far as both files can tell."""
    reference = study.published.dos(name).get("DFT")
    row: dict[str, Any] = {}
    if reference is not None:
        with study.trying(name, f"density of states of {method} against DFT"):
            found = compare_total_dos(reference, dos)
            deviation = found.deviation()
            assert deviation is not None
            row = {
                "lowest_modes": len(found.a),
                "lowest_modes_up_to_THz": found.cut,
                "lowest_modes_rmsd_THz": deviation.rmsd,
            }
    return row


def _draw_beside(study: Study, name: str, phonon: Phonopy, phonons: PhononResult) -> None:
    densities = study.published.dos(name)
    if densities:
        published = {f"{method} (paper)": (dos.frequencies, dos.cumulated) for method, dos in densities.items()}
        study.write_figure(
            f"fig4-{name}", _draw_dos({study.title: (phonons.frequency_points, _states(phonons)), **published})
        )
    bands = study.published.bands(name)
    if bands:
        study.write_figure(f"fig5-{name}", _draw_bands(study, name, phonon, bands))


def _draw_dos(curves: Mapping[str, Curve]) -> Figure:
    """Draw mean densities in bins, in which bands count that are flatter than a file's pitch and not lost in it."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    highest = max(float(frequencies[-1]) for frequencies, _ in curves.values())
    lowest = min(float(frequencies[states > 0][0]) for frequencies, states in curves.values())
    for axes, top in zip(figure.subplots(1, 2), (highest, LOW), strict=True):
        edges = np.linspace(min(lowest, 0.0), top, 201)
        for (label, curve), colour in zip(curves.items(), cycle(len(curves)), strict=True):
            axes.stairs(
                np.diff(np.interp(edges, *curve)) / np.diff(edges), edges, baseline=None, color=colour, label=label
            )
        axes.set(xlim=(edges[0], top), xlabel="Frequency (THz)", ylabel="DOS (states/THz/primitive cell)")
        axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _draw_bands(study: Study, name: str, phonon: Phonopy, published: Mapping[str, BandStructure]) -> Figure:
    figure = Figure(figsize=(7, 3.3 * len(published)), layout="constrained")
    structures = study.published.structures(name)
    for axes, (method, theirs) in zip(np.ravel(figure.subplots(len(published), 1)), published.items(), strict=True):
        match = match_crystals(structures[method], from_phonopy(phonon.primitive))
        ours = phonon.run_band_structure([segment @ match.matrix.T for segment in theirs.qpoints])
        own = BandStructure(theirs.distances, tuple(map(frozen, ours.frequencies)), theirs.qpoints, theirs.labels)
        draw_band_overlay(axes, (own, theirs), (study.title, f"{method} (paper)"))
        axes.set_ylim(min(-0.5, *(float(each.min()) for each in own.frequencies)), LOW)
    return figure

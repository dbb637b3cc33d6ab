"""Table 5, Fig. 7 and Fig. 8: frequencies, element-projected and full densities of states against the reference's."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy

from paper.bars import draw_bars
from paper.gfn1 import NAME
from paper.pairs import written_as
from paper.study import Study
from phonopy_mlp.compare import FrequencyComparison, compare_frequencies
from phonopy_mlp.compare.plots import plot_frequencies
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.registry import get_calculator

_COLUMNS = {"MACE_MP_MOF0_v2": "MACE-MP-MOF0-v2", "MACE_MP_MOF0": "MACE-MP-MOF0", "MTP": "MTP", "VASP_MLP": "VASP MLP"}


def run(study: Study) -> None:
    """Write ``table5.csv``, ``table5.png`` and, for each framework, ``fig7-8-NAME.png``.

    tblite samples the Gamma point alone, so both are compared at the q-points that the labelled cell represents, each
    method at its own minimum.
    """
    published = {
        row["mof"]: {f"{model} (paper, DFT)": float(row[column]) for column, model in _COLUMNS.items()}
        for row in study.published.table("table5_phonon_rmsd_THz")
    }
    rows: list[dict[str, Any]] = []
    for name in study.labelled():
        with study.trying(name, "frequencies"):
            found = _compare(study, name)
            rows += [row | published.get(name, {}) for row in _rows(study, name, found)]
            title = f"{name} at the q-points of the labelled cell, each at its own minimum"
            study.write_figure(f"fig7-8-{name}", plot_frequencies(found, (NAME, study.title), title))
    compared = {row["framework"] for row in rows}
    rows += [{"framework": name} | values for name, values in published.items() if name not in compared]
    study.write_table("table5", rows)
    if rows:
        ours = {
            (f"{study.title} against {NAME}, by {row['paired_by']}", row["framework"]): row["rmsd_THz"]
            for row in rows
            if row["framework"] in compared
        }
        theirs = {(model, name): value for name, values in published.items() for model, value in values.items()}
        study.write_figure("table5", draw_bars({"RMSD of frequencies (THz)": ours | theirs}))


def _compare(study: Study, name: str) -> FrequencyComparison:
    reference = study.reference.phonons(name)
    own = _same_supercell(study, written_as(study.reference.minimum(name), study.relaxed(name)), reference)
    return compare_frequencies(reference, own, mesh=[int(n) for n in np.diag(reference.supercell_matrix)])


def _rows(study: Study, name: str, found: FrequencyComparison) -> list[dict[str, Any]]:
    rows = []
    for pairing in ("overlap", "order"):
        full, low = (found.deviation(pairing, below=below) for below in (None, found.cut))
        assert full is not None
        assert low is not None
        rows.append(
            {
                "framework": name,
                "model": study.title,
                "against": NAME,
                "paired_by": "eigenvector" if pairing == "overlap" else "order",
                "q_points": " ".join(map(str, found.mesh)),
                "rmsd_THz": full.rmsd,
                f"rmsd_below_{found.cut:g}_THz": low.rmsd,
                "largest_THz": full.largest,
                "mean_overlap": found.mean_overlap,
                "largest_strain": float(np.abs(found.match.strains).max()),
                "largest_distance_A": float(found.match.distances.max()),
            }
        )
    return rows


def _same_supercell(study: Study, relaxed: Atoms, reference: Phonopy) -> Phonopy:
    phonon = make_phonopy(relaxed, reference.supercell_matrix, primitive_matrix=np.eye(3))
    return compute_force_constants(phonon, get_calculator(study.model)).phonon

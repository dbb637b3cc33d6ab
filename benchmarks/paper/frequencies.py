"""Table 5, Fig. 7 and Fig. 8: frequencies, element-projected and full densities of states against the reference's."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from phonopy import Phonopy

from paper.gfn1 import NAME
from paper.pairs import written_as
from paper.study import Study
from phonopy_mlp.compare import compare_frequencies
from phonopy_mlp.compare.plots import plot_frequencies
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.registry import get_calculator

_COLUMNS = {"MACE_MP_MOF0_v2": "MACE-MP-MOF0-v2", "MACE_MP_MOF0": "MACE-MP-MOF0", "MTP": "MTP", "VASP_MLP": "VASP MLP"}


def run(study: Study) -> None:
    """Write ``table5.csv`` and, for each framework, ``fig7-8-NAME.png``.

    tblite samples the Gamma point alone, so both are compared at the q-points that the labelled cell represents, each
    method at its own minimum.
    """
    rows = []
    for name in study.labelled():
        with study.trying(name, "frequencies"):
            reference = study.reference.phonons(name)
            own = written_as(study.reference.minimum(name), study.relaxed(name))
            found = compare_frequencies(reference, _same_supercell(study, own, reference), mesh=_mesh(reference))
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
                    }
                )
            title = f"{name} at the q-points of the labelled cell, each at its own minimum"
            study.write_figure(f"fig7-8-{name}", plot_frequencies(found, (NAME, study.title), title))
    for row in study.published.table("table5_phonon_rmsd_THz"):
        for column, model in _COLUMNS.items():
            rows.append(
                {
                    "framework": row["mof"],
                    "model": f"{model} (paper)",
                    "against": "DFT",
                    "rmsd_THz": float(row[column]),
                }
            )
    study.write_table("table5", rows)


def _mesh(phonon: Phonopy) -> tuple[int, ...]:
    return tuple(int(n) for n in np.diag(phonon.supercell_matrix))


def _same_supercell(study: Study, relaxed: Atoms, reference: Phonopy) -> Phonopy:
    phonon = make_phonopy(relaxed, reference.supercell_matrix, primitive_matrix=np.eye(3))
    return compute_force_constants(phonon, get_calculator(study.model)).phonon

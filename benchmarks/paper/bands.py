"""Fig. 4 and Fig. 5: densities of states and bands."""

from __future__ import annotations

from paper.study import Study
from phonopy_mlp.phonons import compute_phonons
from phonopy_mlp.plot import plot_phonons


def run(study: Study) -> None:
    """Write ``fig4-5-NAME.png`` for each framework, and ``fig4-5.csv`` with the lowest and highest frequencies."""
    rows = []
    for name in study.frameworks:
        with study.trying(name, "bands"):
            phonons = compute_phonons(study.phonons(name), mesh=study.mesh)
            room = abs(phonons.temperatures - 300).argmin()
            study.write_figure(f"fig4-5-{name}", plot_phonons(phonons, f"{name}, {study.title}"))
            rows.append(
                {
                    "framework": name,
                    "model": study.title,
                    "mesh": " ".join(map(str, study.mesh)),
                    "lowest_THz": float(phonons.frequencies.min()),
                    "highest_THz": float(phonons.frequencies.max()),
                    "zero_point_kJ_per_mol": float(phonons.free_energy[0]),
                    "heat_capacity_300_K_J_per_K_mol": float(phonons.heat_capacity[room]),
                }
            )
    study.write_table("fig4-5", rows)

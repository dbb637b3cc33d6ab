"""Table 4: errors of energies, forces and stresses on configurations that training never saw."""

from __future__ import annotations

from paper.gfn1 import NAME
from paper.study import Study
from phonopy_mlp.compare import compare_labels
from phonopy_mlp.compare.plots import plot_labels
from phonopy_mlp.registry import get_calculator


def run(study: Study) -> None:
    """Write ``table4.csv`` and a parity plot."""
    calculator = get_calculator(study.model)
    rows, everything = [], []
    for name in [*study.labelled(), "all"] if study.labelled() else ():
        frames = everything if name == "all" else study.reference.test_labels(name)
        found = compare_labels(frames, calculator)
        per_atom, forces, stresses = found.energies_per_atom, found.all_forces, found.stresses
        assert per_atom is not None
        assert forces is not None
        assert stresses is not None
        rows.append(
            {
                "model": study.title,
                "against": NAME,
                "framework": name,
                "configurations": found.structures,
                "rmsd_energy_meV_per_atom": 1e3 * per_atom.deviation().rmsd,
                "rmsd_forces_eV_per_A": forces.deviation().rmsd,
                "rmsd_stress_meV_per_A3": 1e3 * stresses.deviation().rmsd,
            }
        )
        everything = [*everything, *frames]
    for row in study.published.table("table4_rmsd_70_out_of_sample"):
        rows.append(
            {
                "model": f"{row['model']} (paper)",
                "against": "DFT",
                "framework": "70 others",
                "rmsd_energy_meV_per_atom": float(row["rmsd_energy_meV_per_atom"]),
                "rmsd_forces_eV_per_A": float(row["rmsd_forces_eV_per_A"]),
                "rmsd_stress_meV_per_A3": float(row["rmsd_stress_meV_per_A3"]),
            }
        )
    study.write_table("table4", rows)
    if study.labelled():
        study.write_figure("table4", plot_labels(found, (NAME, study.title), "Configurations that training never saw"))

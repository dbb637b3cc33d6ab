"""Table 7: fractional coordinates, by element."""

from __future__ import annotations

from paper.gfn1 import NAME
from paper.study import Study
from phonopy_mlp.compare import compare_structures

ELEMENTS = ("Zn", "C", "H", "O")


def run(study: Study) -> None:
    """Write ``table7.csv``: with minimum image, and without it as the paper has it."""
    rows = []
    for name in study.frameworks:
        pairs = {}
        if study.reference.knows(name):
            with study.trying(name, "positions"):
                pairs[study.title, NAME] = study.reference.minimum(name), study.relaxed(name)
        published = study.published.structures(name)
        for method, atoms in published.items():
            if method != "DFT":
                pairs[f"{method} (paper's structures)", "DFT"] = published["DFT"], atoms
        for (method, against), (reference, atoms) in pairs.items():
            with study.trying(name, "positions"):
                for each in compare_structures(reference, atoms).elements:
                    rows.append(
                        {
                            "framework": name,
                            "method": method,
                            "against": against,
                            "element": each.element,
                            "rmsd": each.rmsd,
                            "rmsd_without_minimum_image": each.paper_rmsd,
                        }
                    )
    for row in study.published.table("table7_mof74_fractional_rmsd"):
        for element in ELEMENTS:
            rows.append(
                {
                    "framework": "MOF-74",
                    "method": f"{row['method']} (paper)",
                    "against": "DFT",
                    "element": element,
                    "rmsd_without_minimum_image": float(row[element]),
                }
            )
    study.write_table("table7", rows)

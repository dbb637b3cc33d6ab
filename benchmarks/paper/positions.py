"""Table 7: fractional coordinates, by element."""

from __future__ import annotations

from paper.bars import draw_bars
from paper.pairs import find_pairs
from paper.study import Study
from phonopy_mlp.compare import compare_structures

FRAMEWORK, ELEMENTS = "MOF-74", ("Zn", "C", "H", "O")
"""Of the published table."""

WITHOUT_IMAGES = "rmsd_without_minimum_image"


def run(study: Study) -> None:
    """Write ``table7.csv``, with minimum image and without it as the paper has it, and ``table7.png`` of the latter."""
    published = {
        (FRAMEWORK, element): {f"{row['method']} (paper)": float(row[element]) for row in table}
        for table in [study.published.table("table7_mof74_fractional_rmsd")]
        for element in ELEMENTS
    }
    rows = [
        {
            "framework": name,
            "method": method,
            "against": against,
            "element": each.element,
            "rmsd": each.rmsd,
            WITHOUT_IMAGES: each.paper_rmsd,
            **published.get((name, each.element), {}),
        }
        for name in study.frameworks
        for method, against, reference, atoms in find_pairs(study, name)
        for each in compare_structures(reference, atoms).elements
    ]
    study.write_table("table7", rows)
    values = {}
    for row in rows:
        group = f"{row['framework']} {row['element']}"
        values[f"{row['method']} against {row['against'].removesuffix(' (paper)')}", group] = row[WITHOUT_IMAGES]
        values |= {(method, group): value for method, value in row.items() if method.endswith("(paper)")}
    # Others are zero by symmetry, but for rounding.
    drawn = {key: value for key, value in values.items() if value > 1e-6}
    if drawn:
        study.write_figure("table7", draw_bars({"RMSD of fractional coordinates": drawn}, log=True))

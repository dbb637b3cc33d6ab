"""The finished model as the embedded one, with its card, the acceptance table, and the record of its training set.

``python training/mini/pack.py MODEL.json acceptance.json``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import archive
import domain

from mace_mof_calc.models.cards import EMBEDDED_DIRECTORY
from mace_mof_calc.models.fingerprints import record_fingerprint
from mace_mof_calc.models.loading import load
from mace_mof_calc.models.packed import save_packed

LARGEST = 2 * 1024**2  # bytes


def card(rows: list[dict[str, Any]], elements: Sequence[str], trained: Sequence[str]) -> dict[str, Any]:
    """Model card, with the frameworks it was trained on and the rows of the acceptance table."""
    validation = []
    for row in rows:
        limit = row["limit"]
        validation.append(
            {
                "quantity": f"{row['quantity']} ({row['unit']})",
                "result": f"{row['value']:.4g}",
                "criterion": None if limit is None else f"{'at least' if row['at_least'] else 'at most'} {limit:g}",
                "met": row["passed"],
            }
        )
    return {
        "name": "mini",
        "title": "Stand-in, a small MACE trained on GFN1-xTB",
        "level_of_theory": "GFN1-xTB (tblite, Gamma point)",
        "dispersion_included": True,
        "elements": list(elements),
        "curated_elements": [],
        "licence": "MIT",
        "citation": "mace-mof-calc, training/mini; GFN1-xTB: S. Grimme et al., J. Chem. Theory Comput. 13, 1989 (2017)",
        "doi": "",
        "mace_version": "0.3.8",
        "notes": (
            f"Trained on {', '.join(trained)} and nothing else. It stands in for the published models where those "
            "cannot be had, so that everything runs anywhere; not for research."
        ),
        "validation": validation,
    }


def pack(model: Path, rows: list[dict[str, Any]], stem: Path) -> Path:
    """Pack a model again, as ``STEM.safetensors`` and ``STEM.json``, with another card.

    Parameters
    ----------
    model : Path
        Packed model, the JSON file.
    rows : list
        Of the acceptance table.
    stem : Path
    """
    loaded = load(model)
    trained = [atoms.info["source"] for atoms in archive.LABELS.read("minima")]
    path = save_packed(loaded.module, stem, card(rows, loaded.elements, trained))
    size = path.stat().st_size + path.with_suffix(".safetensors").stat().st_size
    if size > LARGEST:
        raise ValueError(f"packed model takes {size} bytes, more than {LARGEST}")
    record_fingerprint(path)
    return path


def main() -> None:
    """Pack a model in place of the embedded one."""
    model, table = map(Path, sys.argv[1:])
    path = pack(model, json.loads(table.read_text(encoding="utf-8"))["rows"], EMBEDDED_DIRECTORY / "mini")
    domain.make(path)
    print(f"packed: {path}")


if __name__ == "__main__":
    main()

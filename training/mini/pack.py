"""Packing of the finished model: safetensors and JSON, with its card and the acceptance table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from crystals import ELEMENTS
from model import load

from mace_mof_calc.models.fingerprints import record_fingerprint
from mace_mof_calc.models.packed import save_packed

LARGEST = 2 * 1024**2  # bytes


def card(name: str, rows: list[dict[str, Any]], trained: Sequence[str]) -> dict[str, Any]:
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
        "name": name,
        "title": "Stand-in, a small MACE trained on GFN1-xTB",
        "level_of_theory": "GFN1-xTB (tblite, Gamma point)",
        "dispersion_included": True,
        "elements": [chemical_symbols[z] for z in ELEMENTS],
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


def pack(model: Path, rows: list[dict[str, Any]], trained: Sequence[str], stem: Path) -> Path:
    """Pack a finished model (``config``, ``state_dict``) as ``STEM.safetensors`` and ``STEM.json``."""
    _, module = load(model, torch.float32)
    stem.parent.mkdir(parents=True, exist_ok=True)
    path = save_packed(module, stem, card(stem.name, rows, trained))
    size = path.stat().st_size + path.with_suffix(".safetensors").stat().st_size
    if size > LARGEST:
        raise ValueError(f"packed model takes {size} bytes, more than {LARGEST}")
    record_fingerprint(path)
    return path

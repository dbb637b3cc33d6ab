"""Model files for tests of what takes several models that were trained alike."""

from __future__ import annotations

from pathlib import Path

import torch

from mace_mof_calc.models.loading import load
from mace_mof_calc.models.packed import save_packed

STANDINS = Path(__file__).parents[1] / "mace_mof_calc" / "standins"
FOUNDATION = STANDINS / "foundation-0.3.8.model"
MULTIHEAD = STANDINS / "multihead-0.3.8.model"


def pack_variant(folder: Path, seed: int, *, level_of_theory: str = "LJ", dispersion_included: bool = False) -> Path:
    """Pack the one-head stand-in with its parameters changed a little at random, and a card of its own."""
    module = load(FOUNDATION).module
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    card = {
        "name": f"variant-{seed}",
        "title": "Stand-in",
        "level_of_theory": level_of_theory,
        "dispersion_included": dispersion_included,
        "elements": ["H", "C", "O", "Zn"],
        "curated_elements": [],
        "licence": "MIT",
        "citation": "none",
        "doi": "",
        "mace_version": "0.3.8",
    }
    return save_packed(module, folder / f"variant-{seed}", card)

"""What the embedded model was trained on, for the check of its domain: ``python training/mini/domain.py``.

Reads ``labels.tar.xz`` and the card of the packed model, writes ``mini.domain.safetensors`` beside the model.
"""

from __future__ import annotations

from pathlib import Path

import archive

from mace_mof_calc.domain.reference import make_reference, reference_path, write_reference
from mace_mof_calc.models.cards import EMBEDDED_DIRECTORY
from mace_mof_calc.models.loading import load


def make(packed: Path) -> Path:
    """Write the reference of a packed model, beside it, from the frames of the crystals on its card."""
    model = load(packed)  # by its path, since it may be newer than the table of models
    assert model.card is not None
    frames = [frame for frame in archive.LABELS.read("labelled") if frame.info["source"] in model.card.notes]
    path = reference_path(model)
    write_reference(make_reference(model, frames), path)
    return path


if __name__ == "__main__":
    print(make(EMBEDDED_DIRECTORY / "mini.json"))

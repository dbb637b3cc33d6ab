"""What the packed model was trained on, for the check of its domain: ``python training/mini/domain.py``.

Reads ``labels.tar.xz`` and the card of the packed model, writes ``mini.domain.safetensors`` beside the model.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import archive
from ase import Atoms
from ase.io import read
from crystals import FRAMEWORKS

from mace_mof_calc.domain.reference import make_reference, reference_path, write_reference
from mace_mof_calc.models.cards import EMBEDDED_DIRECTORY
from mace_mof_calc.models.loading import load

KINDS = ("thermal", "equal-force", "soft", "strain", "rattle")
"""Kinds of configurations that are taken; those of saddles and differences hardly differ from one another."""


def training_frames(work: Path, name: str) -> list[Atoms]:
    """Read the training configurations of a framework."""
    folder = work / "labels" / name
    return [read(path) for kind in KINDS for path in sorted(folder.glob(f"train-{kind}-[0-9]*.extxyz"))]


def make(work: Path, packed: Path) -> Path:
    """Write the reference of a packed model, beside it, from the labels in a work folder."""
    model = load(packed)  # by its path, since it may be newer than the table of models
    assert model.card is not None
    trained = [name for name in FRAMEWORKS if name in model.card.notes]
    frames = [frame for name in trained for frame in training_frames(work, name)]
    path = reference_path(model)
    write_reference(make_reference(model, frames), path)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        archive.restore(Path(folder))
        print(make(Path(folder), EMBEDDED_DIRECTORY / "mini.json"))

"""Files of tensors that appear complete or not at all, and hold nothing but data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..files import write_file


def save_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Write tensors, and what JSON could hold."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_file(path, buffer.getvalue())


def load_checkpoint(path: Path, question: str | None = None) -> Any:
    """Read what `save_checkpoint` wrote, tensors on the CPU.

    Parameters
    ----------
    path : Path
    question : str, optional
        What its ``"question"`` must be: what is trained on, and how, in a digest.

    Raises
    ------
    TrainingError
        It cannot be read, or is of another question.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive raises whatever its reader raises
        # What PyTorch says of it tells to load it with whatever programs are in it.
        raise TrainingError(
            f"{path} cannot be read",
            f"It is damaged, or holds more than tensors and numbers ({type(error).__name__})",
            "Remove the folder to begin anew",
        ) from error
    if not isinstance(content, Mapping):
        raise TrainingError(f"{path} is no checkpoint", f"It holds a {type(content).__name__}", "Remove the folder")
    theirs = content.get("question")
    if question is not None and not (isinstance(theirs, str) and theirs == question):
        raise TrainingError(
            f"{path} is of another training",
            "Its frames, its settings, or the model that it began from were others",
            "Remove the folder to begin anew, or name another",
        )
    return content

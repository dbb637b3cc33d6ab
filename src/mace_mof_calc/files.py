"""Files that appear complete or not at all."""

from __future__ import annotations

import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


REMEDY = "Make room or name another place; the same command goes on"


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in, where there is none.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Folder {path} cannot be made", str(error), REMEDY) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it appears complete or not at all.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise OutputError(f"{path} cannot be written", str(error), REMEDY) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def parse_json(content: bytes) -> Any:
    """Return what JSON says.

    Raises
    ------
    ValueError
        It is no JSON, or nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def encode_json(document: Any) -> bytes:
    """Return JSON that can be read and compared line by line."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def encode_figure(figure: Figure) -> bytes:
    """Return a figure as PNG, the same whatever version of matplotlib says it made it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
    return content.getvalue()

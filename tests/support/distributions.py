"""Distributions that are installed by being on the path."""

from pathlib import Path


def write_distribution(folder: Path, module: str, source: str, entry_points: str) -> Path:
    """Write one with a module and entry points, and return the folder to put on the path."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    name = module.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return folder

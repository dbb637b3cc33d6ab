"""Runs that are done once: each finished one leaves a record beside its files, and is found again by it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from .measure import Usage

RECORD = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes
    ----------
    task, peer : str
        Which task, and the program that did it.
    number : int
        Which run of this program on this task, from 0.
    identity : mapping
        All that its result and its time depend on, as plain data.
    load : float
        Load average of the machine over the minute before it began.
    usage : Usage
        What it took.
    """

    task: str
    peer: str
    number: int
    identity: Mapping[str, Any]
    load: float
    usage: Usage


def run_folder(work: Path, task: str, peer: str, number: int) -> Path:
    """Return the folder of a run."""
    return work / "runs" / task / f"{peer}-{number}"


def find_run(folder: Path, identity: Mapping[str, Any]) -> Run | None:
    """Return the finished run of a folder, or None where there is none with this identity."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if record["identity"] != identity:
        return None
    return Run(**{**record, "usage": Usage(**record["usage"])})


def force_constants_seconds(folder: Path) -> float:
    """Return how long one of our runs took for its force constants alone, without start, symmetry search and files."""
    record = yaml.safe_load((folder / "phonopy_mlp.yaml").read_text(encoding="utf-8"))
    seconds: float = record["phonopy_mlp"]["steps"]["force_constants"]["seconds"]
    return seconds


def start_run(folder: Path) -> float:
    """Empty the folder of a run and return the load of the machine."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return os.getloadavg()[0]


def save_run(folder: Path, run: Run) -> None:
    """Write the record of a finished run, whole or not at all."""
    partial = folder / f"{RECORD}.partial"
    partial.write_text(json.dumps(asdict(run), indent=1), encoding="utf-8")
    partial.replace(folder / RECORD)

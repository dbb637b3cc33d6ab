"""Evaluation of a model on files of labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ...files import encode_figure, encode_json, write_file
from ...frames import get_labels, read_frames
from ..calculators import get_digest, make_calculator
from ..job import Job, Part
from ..progress import Track, silently
from .errors import Errors, compute_errors, pair
from .predict import attach_prediction, get_prediction, predict
from .table import format_csv, make_rows, plot_parity

PREDICTIONS, TABLE, FIGURE = "predictions.extxyz", "errors", "parity.png"

CHUNK = 32
"""Frames that are computed, and kept, at a time."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model was found to be.

    Attributes
    ----------
    errors : tuple of Errors
        All frames first.
    known_before : bool
        Whether all had been computed before.
    """

    errors: tuple[Errors, ...]
    known_before: bool


def evaluate(
    frames: Sequence[Path],
    folder: Path,
    model: str,
    *,
    head: str | None = None,
    device: str = "auto",
    dtype: str = "float64",
    track: Track = silently,
) -> Evaluation:
    """Compute errors of a calculator on labelled frames, and write predictions, tables and a parity plot.

    Parameters
    ----------
    frames : sequence of Path
        Files of labelled frames.
    folder : Path
        For ``predictions.extxyz``, ``errors.csv``, ``errors.json`` and ``parity.png``; it exists.
    model : str
        Any calculator's name, or a model file; see `calculators.make_calculator`.
    head : str, optional
        Of a multi-head model.
    device, dtype : str, optional
        Handed to the calculator.
    track : Track, optional

    Raises
    ------
    FramesError
        A file cannot be read, or a frame has no labels.
    TrainingError
        There is no such calculator, it failed, or the folder has another evaluation in it.
    """
    calculator = make_calculator(model, device=device, dtype=dtype, head=head)
    about = {"model": model, "head": head, "dtype": dtype, "digest": get_digest(calculator)}
    job = Job(folder / PREDICTIONS, "evaluate", frames, about)
    if job.finished is None:
        labelled = [atoms for path in frames for atoms in read_frames(path)]
        for atoms in labelled:
            get_labels(atoms)
        chunks = [labelled[k : k + CHUNK] for k in range(0, len(labelled), CHUNK)]
        parts = [job.do(str(k), partial(_compute, chunks[k], calculator)) for k in track(range(len(chunks)), "frames")]
        job.finish(parts)
    predicted = read_frames(folder / PREDICTIONS)
    compared = pair(predicted, [get_prediction(atoms) for atoms in predicted])
    errors = compute_errors(compared)
    rows = make_rows(errors)
    write_file(folder / f"{TABLE}.csv", format_csv(rows).encode())
    write_file(folder / f"{TABLE}.json", encode_json({**about, "errors": list(rows)}))
    title = f"{model}{f', head {head}' if head else ''}"
    write_file(folder / FIGURE, encode_figure(plot_parity(compared, title)))
    return Evaluation(errors, job.finished is not None)


def _compute(frames: Sequence[Atoms], calculator: BaseCalculator) -> Part:
    return Part(
        [attach_prediction(atoms, found) for atoms, found in zip(frames, predict(frames, calculator), strict=True)]
    )

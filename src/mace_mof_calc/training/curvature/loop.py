"""Training with curvature in the loss.

Each step sees minima, where the model's Hessian is compared with the reference's (see `losses`), and labelled frames of
the same crystals.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from torch import Tensor

from ...errors import TrainingError
from ...files import write_file
from ..checkpoints import load_checkpoint, save_checkpoint
from ..finetune.curves import HeadErrors, format_table
from ..finetune.extend import Blueprint, mark_own
from ..finetune.model import make_trainable
from ..progress import Track, silently
from .gradients import PIECES, Gradients
from .losses import WEIGHTS, Minimum, Scales, Targets, scales
from .network import FastMACE
from .recorded import Lane
from .schedule import Schedule
from .soap import SOAP
from .validation import make_title, measure

CHECKPOINT, CURVES, LOSSES = "checkpoint.pt", "curves.csv", "losses.csv"

CHECKPOINT_EVERY = 250  # steps
REPORT_EVERY = 50  # steps; divides the other

DECAY = 0.995
"""Of the average of the parameters, from some thousand steps on."""


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What is learnt from.

    Attributes
    ----------
    train, valid : sequence of Atoms
        Labelled, each with its crystal in ``info["source"]``.
    minima : mapping of str to Atoms
        Labelled minimum with its Hessian of each crystal that is in `train`.
    """

    train: Sequence[Atoms]
    valid: Sequence[Atoms]
    minima: Mapping[str, Atoms]


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A finished training.

    Attributes
    ----------
    model : Blueprint
        With the average of the parameters.
    history : tuple of HeadErrors
        On the validation frames; ``epoch`` counts steps.
    """

    model: Blueprint
    history: tuple[HeadErrors, ...]


def train(
    model: Blueprint,
    data: Data,
    schedule: Schedule,
    folder: Path,
    *,
    question: str,
    device: str = "cpu",
    track: Track = silently,
) -> Learnt:
    """Train a model, going on from the checkpoint in a folder where there is one.

    Parameters
    ----------
    model : Blueprint
        That `network.check_network` accepts.
    data : Data
    schedule : Schedule
    folder : Path
        For the checkpoint and the tables ``curves.csv``, errors on the validation frames every 250 steps, and
        ``losses.csv``, square roots of all parts of the loss every 50; it exists.
    question : str
        What is trained on, and how, in a digest: a checkpoint of another question is refused.
    device : str, optional
        ``cpu`` or ``cuda``; computed in float32.
    track : Track, optional

    Raises
    ------
    TrainingError
        The loss is not finite, or the checkpoint cannot be read or is that of another training.
    """
    where = torch.device(device)
    with torch.cuda.device(where) if where.type == "cuda" else _dividing_threads(schedule.draws):
        run = _Run(model, data, schedule, question, where)
        if (folder / CHECKPOINT).is_file():
            run.restore(folder)
        for _ in track(range(run.progress.step, schedule.steps), "steps"):
            run.do_step()
            step = run.progress.step
            if step % REPORT_EVERY == 0 or step == schedule.steps:
                run.report()
            if step % CHECKPOINT_EVERY == 0 or step == schedule.steps:
                run.validate()
                run.keep(folder)
    # Energies of the atoms stay as they are, in double precision, and so does what is not trained.
    parameters = {name: tensor.detach().cpu() for name, tensor in run.average.named_parameters()}
    for name, mark in run.marks.items():
        parameters[name] = torch.where(mark, parameters[name], model.state[name])
    return Learnt(Blueprint(model.hyperparameters, {**model.state, **parameters}), tuple(run.progress.history))


@dataclass(slots=True)
class _Progress:
    """All that goes into a checkpoint besides tensors."""

    step: int = 0
    norm: float = 0.0
    history: list[HeadErrors] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)


class _Run:
    """What changes while a model is trained."""

    def __init__(self, model: Blueprint, data: Data, schedule: Schedule, question: str, device: torch.device) -> None:
        self.schedule, self.question, self.device = schedule, question, device
        self.module = make_trainable(model, "float32", "cpu")
        self.average = make_trainable(model, "float32", "cpu")
        # The optimiser's many small matrices are faster on the CPU.
        on_cpu = device.type == "cpu"
        self.replica = self.module if on_cpu else make_trainable(model, "float32", str(device))
        self.measured = self.average if on_cpu else make_trainable(model, "float32", str(device))
        marks = mark_own(model, [atomic_numbers[symbol] for symbol in schedule.elements]) if schedule.elements else {}
        self.marks = {name: marks[name] for name, _ in self.module.named_parameters() if marks}
        for module in (self.module, self.replica):
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(name not in self.marks or bool(self.marks[name].any()))
        self.optimiser = SOAP(self.module.named_parameters(), channels=_count_channels(model))
        energies = model.energies
        network = FastMACE(self.replica)
        titles = [make_title(atoms) for atoms in data.train]
        self.targets = Targets(data.train, titles, energies, network)
        self.valid = Targets(data.valid, [make_title(atoms) for atoms in data.valid], energies, network)
        minima = {source: Minimum(atoms, energies, network) for source, atoms in data.minima.items()}
        self.sources = {title: atoms.info["source"] for title, atoms in zip(titles, data.train, strict=True)}
        self.modes = {source: len(minimum.squares) for source, minimum in minima.items()}
        lanes = [None if on_cpu else {piece: Lane() for piece in PIECES} for _ in range(schedule.draws)]
        self.gradients = {
            (title, draw): Gradients(network, minima[source], self.targets, lanes[draw])
            for title, source in self.sources.items()
            for draw in range(schedule.draws)
        }
        # On a CPU each draw is in a thread; on a GPU one thread fills all lanes.
        self.map = ThreadPoolExecutor(schedule.draws).map if on_cpu else map
        self.progress = _Progress()
        self.sums, self.clock = torch.zeros(len(WEIGHTS)), time.perf_counter()

    def do_step(self) -> None:
        progress, step = self.progress, self.progress.step
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(step)
        scale = scales(self.schedule.progress(step))
        drawn = self.map(partial(self._draw, step, scale), range(self.schedule.draws))
        pieces = [piece for each in drawn for piece in each]
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        losses = torch.cat([means.cpu() for means, _ in pieces]).view(-1, len(WEIGHTS))
        _set_gradients(
            self.module, torch.stack([derivatives for _, derivatives in pieces]).sum(0).cpu() / self.schedule.draws
        )
        before = self._hide_others()
        norm = progress.norm
        gradient = float(torch.nn.utils.clip_grad_norm_(self.module.parameters(), 2.0 * norm if norm else 10.0))
        if not math.isfinite(gradient):
            raise TrainingError(
                f"The loss is not finite in step {step}",
                "The steps are too large, or a label is absurd",
                "Lower the rates",
            )
        progress.norm = min(gradient, 2.0 * norm) * 0.02 + 0.98 * norm if norm else gradient
        self.optimiser.step()
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                if name in before:
                    # The optimiser's rotations are exact to rounding alone.
                    parameter.copy_(torch.where(self.marks[name], parameter, before[name]))
        _copy_parameters(self.module, self.replica)
        decay = min(DECAY, step / (step + 10.0))
        with torch.no_grad():
            for average, own in zip(self.average.parameters(), self.module.parameters(), strict=True):
                average.lerp_(own, 1.0 - decay)
        progress.step += 1
        self.sums += losses.sum(0)

    def _hide_others(self) -> dict[str, Tensor]:
        """Take the gradients from what is not trained, and return the parameters that it is in, as they are."""
        kept = {}
        for name, parameter in self.module.named_parameters():
            if name in self.marks and parameter.requires_grad:
                parameter.grad *= self.marks[name]
                kept[name] = parameter.detach().clone()
        return kept

    def _draw(self, step: int, scale: Scales, draw: int) -> list[tuple[Tensor, ...]]:
        # What is drawn follows from the step alone, so that a restart does not change it.
        random = np.random.default_rng([7 + self.schedule.seed, step, draw])
        title = str(random.choice(self.targets.titles))
        own = np.flatnonzero(self.targets.titles == title)
        chosen = random.choice(own, self.schedule.batch, replace=len(own) < self.schedule.batch)
        generator = torch.Generator().manual_seed(10**6 * self.schedule.seed + self.schedule.draws * step + draw)
        amplitudes = torch.randn(self.modes[self.sources[title]], generator=generator).to(self.device)
        return self.gradients[title, draw](amplitudes, chosen.tolist(), scale)

    def report(self) -> None:
        """Add a row of what the steps since the last were like."""
        step, now = self.progress.step, time.perf_counter()
        count = step - (self.progress.rows[-1]["step"] if self.progress.rows else 0)
        means = dict(zip(WEIGHTS, (self.sums / (self.schedule.draws * count)).tolist(), strict=True))
        self.progress.rows.append(
            {
                "step": step,
                "learning_rate": self.schedule.rate(step - 1),
                "gradient": self.progress.norm,
                "seconds": (now - self.clock) / count,
                **{name: math.sqrt(value) for name, value in means.items()},
            }
        )
        self.sums, self.clock = torch.zeros(len(WEIGHTS)), now

    def validate(self) -> None:
        """Measure the average of the parameters."""
        _copy_parameters(self.average, self.measured)
        network = FastMACE(self.measured)
        step, begin = self.progress.step, time.perf_counter()
        seconds = sum(row["seconds"] for row in self.progress.rows[-(CHECKPOINT_EVERY // REPORT_EVERY) :])
        rate = self.schedule.rate(step - 1)
        self.progress.history.append(
            measure(network, self.valid, epoch=step, learning_rate=rate, seconds=REPORT_EVERY * seconds)
        )
        self.clock += time.perf_counter() - begin

    def keep(self, folder: Path) -> None:
        progress = self.progress
        write_file(folder / CURVES, format_table(progress.history, "step").encode())
        write_file(folder / LOSSES, _format_rows(progress.rows).encode())
        content = {**asdict(progress), "history": [asdict(each) for each in progress.history]}
        parts = {name: part.state_dict() for name, part in self._parts()}
        save_checkpoint({"question": self.question, "progress": content, **parts}, folder / CHECKPOINT)

    def restore(self, folder: Path) -> None:
        content = load_checkpoint(folder / CHECKPOINT, self.question)
        for name, part in self._parts():
            part.load_state_dict(content[name])
        _copy_parameters(self.module, self.replica)
        progress = content["progress"]
        self.progress = _Progress(**{**progress, "history": [HeadErrors(**each) for each in progress["history"]]})

    def _parts(self) -> list[tuple[str, Any]]:
        return [("module", self.module), ("average", self.average), ("optimiser", self.optimiser)]


@contextlib.contextmanager
def _dividing_threads(parts: int) -> Iterator[None]:
    """Leave each draw, which is in a thread, its part of PyTorch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // parts))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _count_channels(model: Blueprint) -> int:
    return int(model.hyperparameters.hidden_irreps.partition("x")[0])


def _set_gradients(model: torch.nn.Module, flat: Tensor) -> None:
    k = 0
    for p in filter(lambda each: each.requires_grad, model.parameters()):
        p.grad = flat[k : k + p.numel()].view_as(p)
        k += p.numel()


@torch.no_grad()
def _copy_parameters(source: torch.nn.Module, target: torch.nn.Module) -> None:
    if target is not source:
        for a, b in zip(source.parameters(), target.parameters(), strict=True):
            b.copy_(a)


def _format_rows(rows: Sequence[Mapping[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    return text.getvalue()

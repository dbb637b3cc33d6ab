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
from dataclasses import asdict, astuple, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from ...errors import TrainingError
from ...files import write_file
from ..checkpoints import load_checkpoint, save_checkpoint
from ..finetune.curves import HeadErrors, format_table
from ..finetune.extend import Blueprint
from ..finetune.model import make_trainable
from ..finetune.recipe import OWN_HEAD
from ..job import Track, silently
from .graph import Graph, Groups, tensors
from .losses import TIGHT, WEIGHTS, Labels, Minimum, Scales, Targets, errors, scales, tempered
from .network import FastMACE
from .recorded import Function, Recorded
from .schedule import Schedule
from .soap import SOAP

CHECKPOINT, CURVES, LOSSES = "checkpoint.pt", "curves.csv", "losses.csv"

CHECKPOINT_EVERY = 250  # steps
REPORT_EVERY = 50  # steps; divides the other
_VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
STREAMS = 2
"""Draws that a step averages over."""

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
    with torch.cuda.device(where) if where.type == "cuda" else _dividing_threads():
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
    # Energies of the atoms stay as they are, in double precision.
    parameters = {name: tensor.detach().cpu() for name, tensor in run.average.named_parameters()}
    return Learnt(Blueprint(model.hyperparameters, {**model.state, **parameters}), tuple(run.progress.history))


def measure(network: FastMACE, targets: Targets, **of_step: Any) -> HeadErrors:
    """Return the errors of a model on labelled frames, and its loss there in the tightest scales."""
    energy, forces, stress, losses = [], [], [], []
    for k, (graph, labels) in enumerate(zip(targets.graphs, targets.labels, strict=True)):
        found = network.evaluate(graph)
        energy.append((found.energy - labels.energy) / len(labels.forces))
        forces.append((found.gradient + labels.forces).flatten())
        stress.append((found.stress - labels.stress)[0][*_VOIGT])
        parts = errors(network, *targets.joined([k]), TIGHT, train=False)
        losses.append(sum(WEIGHTS[name] * float(tempered(value.detach())) for name, value in parts.items()))
    left = {"energy": torch.cat(energy), "forces": torch.cat(forces), "stress": torch.cat(stress)}
    known = {name: values.detach()[~values.isnan()].double() for name, values in left.items()}
    found_errors: dict[str, Any] = {}
    for name, values in known.items():
        found_errors[f"{name}_rmse"] = float(values.square().mean().sqrt()) if len(values) else None
        found_errors[f"{name}_mae"] = float(values.abs().mean()) if len(values) else None
    return HeadErrors(head=OWN_HEAD, loss=float(np.mean(losses)), **found_errors, **of_step)


def measure_model(model: Blueprint, frames: Sequence[Atoms], **of_step: Any) -> HeadErrors:
    """Return the errors of a model on labelled frames of its elements, computed in float64 on the CPU."""
    network = FastMACE(make_trainable(model, "float64", "cpu"))
    titles = [make_title(atoms) for atoms in frames]
    return measure(network, Targets(frames, titles, _read_energies(model), network), **of_step)


def make_title(atoms: Atoms) -> str:
    """Return what frames must have in common that are evaluated together: their crystal, and their atoms."""
    return f"{atoms.info['source']} {atoms.symbols.formula.format('hill')}"


class Gradients:
    """Losses of what one stream draws of one crystal, and their derivatives by the parameters.

    Parameters
    ----------
    network : FastMACE
        The model.
    minimum : Minimum
        Of the crystal.
    targets : Targets
        Labelled frames, of this crystal among others.
    """

    def __init__(self, network: FastMACE, minimum: Minimum, targets: Targets) -> None:
        self._network, self._minimum, self._targets = network, minimum, targets
        self._parameters = list(network.model.parameters())
        self._recorded: dict[str, Recorded] = {}

    def __call__(self, amplitudes: Tensor, chosen: Sequence[int], scale: Scales) -> list[tuple[Tensor, ...]]:
        """Compute both pieces; on a GPU they are there after ``torch.cuda.synchronize()``.

        Parameters
        ----------
        amplitudes : Tensor
            Of the displacement that the Hessian is multiplied with.
        chosen : sequence of int
            Labelled frames, always as many.
        scale : Scales

        Returns
        -------
        list of (Tensor, Tensor)
            Losses of each piece, together in the order of `WEIGHTS`, and the derivatives, flat.
        """
        graph, labels = self._targets.joined(chosen)
        given = [torch.tensor(value, dtype=torch.float64).to(amplitudes) for value in astuple(scale)]
        return [
            self._run("minimum", self._at_minimum, amplitudes, *given),
            self._run("labelled", partial(self._labelled, graph.groups), *tensors(graph), *tensors(labels), *given),
        ]

    def _run(self, piece: str, function: Function, *arguments: Tensor) -> tuple[Tensor, ...]:
        if self._network.device.type != "cuda":
            return function(*arguments)
        if piece not in self._recorded:
            self._recorded[piece] = Recorded(function, *arguments)
        return self._recorded[piece](*arguments)

    def _at_minimum(self, amplitudes: Tensor, *scale: Tensor) -> tuple[Tensor, ...]:
        return self._differentiated(self._minimum.losses(self._network, amplitudes, Scales(*scale)))

    def _labelled(self, groups: Groups, *given: Tensor) -> tuple[Tensor, ...]:
        scale, labels = len(fields(Scales)), len(fields(Labels))
        graph = Graph(groups, *given[: -labels - scale])
        return self._differentiated(
            errors(self._network, graph, Labels(*given[-labels - scale : -scale]), Scales(*given[-scale:]))
        )

    def _differentiated(self, losses: dict[str, Tensor]) -> tuple[Tensor, ...]:
        total = sum(WEIGHTS[k] * tempered(v) for k, v in losses.items())
        assert isinstance(total, Tensor)
        found = torch.autograd.grad(total, self._parameters, allow_unused=True, materialize_grads=True)
        means = torch.stack([v.detach().mean() for v in losses.values()])
        return means, torch.cat([each.reshape(-1) for each in found])


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
        self.optimiser = SOAP(self.module.named_parameters(), channels=_count_channels(model))
        energies = _read_energies(model)
        network = FastMACE(self.replica)
        titles = [make_title(atoms) for atoms in data.train]
        self.targets = Targets(data.train, titles, energies, network)
        self.valid = Targets(data.valid, [make_title(atoms) for atoms in data.valid], energies, network)
        minima = {source: Minimum(atoms, energies, network) for source, atoms in data.minima.items()}
        self.sources = {title: atoms.info["source"] for title, atoms in zip(titles, data.train, strict=True)}
        self.modes = {source: len(minimum.squares) for source, minimum in minima.items()}
        self.gradients = {
            (title, stream): Gradients(network, minima[source], self.targets)
            for title, source in self.sources.items()
            for stream in range(STREAMS)
        }
        # Each stream is a thread of a CPU; on a GPU they are in it one beside the other.
        self.map = ThreadPoolExecutor(STREAMS).map if on_cpu else map
        self.progress = _Progress()
        self.sums, self.clock = torch.zeros(len(WEIGHTS)), time.perf_counter()

    def do_step(self) -> None:
        progress, step = self.progress, self.progress.step
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(step)
        scale = scales(self.schedule.progress(step))
        drawn = self.map(partial(self._draw, step, scale), range(STREAMS))
        pieces = [piece for each in drawn for piece in each]
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        losses = torch.cat([means.cpu() for means, _ in pieces]).view(-1, len(WEIGHTS))
        _set_gradients(self.module, torch.stack([derivatives for _, derivatives in pieces]).sum(0).cpu() / STREAMS)
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
        _copy_parameters(self.module, self.replica)
        decay = min(DECAY, step / (step + 10.0))
        with torch.no_grad():
            for average, own in zip(self.average.parameters(), self.module.parameters(), strict=True):
                average.lerp_(own, 1.0 - decay)
        progress.step += 1
        self.sums += losses.sum(0)

    def _draw(self, step: int, scale: Scales, stream: int) -> list[tuple[Tensor, ...]]:
        # What is drawn follows from the step alone, so that a restart does not change it.
        random = np.random.default_rng([7 + self.schedule.seed, step, stream])
        title = str(random.choice(self.targets.titles))
        own = np.flatnonzero(self.targets.titles == title)
        chosen = random.choice(own, self.schedule.batch, replace=len(own) < self.schedule.batch)
        generator = torch.Generator().manual_seed(10**6 * self.schedule.seed + STREAMS * step + stream)
        amplitudes = torch.randn(self.modes[self.sources[title]], generator=generator).to(self.device)
        return self.gradients[title, stream](amplitudes, chosen.tolist(), scale)

    def report(self) -> None:
        """Add a row of what the steps since the last were like."""
        step, now = self.progress.step, time.perf_counter()
        count = step - (self.progress.rows[-1]["step"] if self.progress.rows else 0)
        means = dict(zip(WEIGHTS, (self.sums / (STREAMS * count)).tolist(), strict=True))
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


def _read_energies(model: Blueprint) -> dict[int, float]:
    values = model.state["atomic_energies_fn.atomic_energies"].flatten().tolist()
    return dict(zip(model.hyperparameters.atomic_numbers, values, strict=True))


@contextlib.contextmanager
def _dividing_threads() -> Iterator[None]:
    """Leave each stream, which is a thread, its part of PyTorch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // STREAMS))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _count_channels(model: Blueprint) -> int:
    return int(model.hyperparameters.hidden_irreps.partition("x")[0])


def _set_gradients(model: torch.nn.Module, flat: Tensor) -> None:
    k = 0
    for p in model.parameters():
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

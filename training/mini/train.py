"""Training with curvature in the loss.

Each step sees the exact minimum of one framework, where the model's Hessian is compared with the reference's (see
:mod:`losses`), and a labelled configuration of the same framework.
"""

from __future__ import annotations

import copy
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from crystals import FRAMEWORKS
from e3nn import o3
from fast import FastMACE
from graph import Graph, Groups, tensors
from hessian import Modes, diagonalise, full_hessian, load_all, setup
from labels import isolated_energies
from losses import TIGHT, WEIGHTS, Labels, Minimum, Scales, Targets, errors, scales, tempered
from model import ARCHITECTURE, atomic_energies, balance, build_model, save
from recorded import Function, Recorded
from sample import load as load_frames
from soap import SOAP
from torch import Tensor, distributed, multiprocessing

from phonopy_mlp.structures import from_phonopy

CHECKPOINT_EVERY = 250  # steps
REPORT_EVERY = 1000  # steps


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes
    ----------
    name : str
        Name of the stage's checkpoint.
    weights : dict of str to float
        How often each framework's minimum is drawn.
    steps : int
        Number of steps.
    rate : (float, float)
        First and last learning rate; a cosine in between.
    tighten : (float, float)
        Progress of the scales (0 loose, 1 tight) at the start and at 60 % of the steps, where it stops.
    batch : int
        Labelled configurations, and one minimum, in each of the `STREAMS` that a step averages over.
    seed : int
        Of the weights where they are random, and of what is drawn.
    channels : int
        Width of a network that starts from random weights.
    """

    name: str
    weights: dict[str, float]
    steps: int
    rate: tuple[float, float]
    tighten: tuple[float, float] = (1.0, 1.0)
    batch: int = 4
    seed: int = 0
    channels: int = 64


STREAMS = 2
STAGES = (
    Stage("mof5", {"MOF-5": 1.0}, 1200, (7e-3, 1e-3), (0.0, 0.5)),
    Stage("four", {"MOF-5": 0.5, "UiO-66": 0.17, "MOF-74": 0.17, "MIL-53": 0.16}, 5000, (1.5e-3, 1e-5), (0.2, 0.5)),
)


def model_modes(fast: FastMACE, modes: Modes, name: str, primitive: Atoms) -> Modes:
    """Modes of the model at the reference's minimum, by central differences in the model's own precision."""
    phonon = setup(primitive, FRAMEWORKS[name].repeat)
    forces = []
    for cell in phonon.supercells_with_displacements:
        graph = fast.graph(fast.neighbours(from_phonopy(cell)))
        found = np.empty((len(cell), 3))
        found[graph.order.numpy(force=True)] = -fast.evaluate(graph).gradient.numpy(force=True)
        forces.append(found)
    return diagonalise(modes.atoms, full_hessian(phonon, forces))


def report(fast: FastMACE, references: dict[str, Modes], primitives: dict[str, Atoms], tests: Targets) -> str:
    """Errors on the test sets, and at the first reference's minimum, of a model in double precision."""
    parts = []
    for name in references:
        chosen = np.flatnonzero((tests.names == name) & (tests.kinds == "thermal"))[:4]
        if len(chosen):
            found = errors(fast, *tests.joined(chosen), TIGHT, train=False)
            e = {k: math.sqrt(v.detach().mean()) for k, v in found.items()}
            parts.append(
                f"{name}: F {100 * e['forces']:.2f}% E {1e3 * TIGHT.energy * e['energy']:.2f} meV/atom "
                f"S {1e3 * TIGHT.stress * e['stress']:.3f} meV/A3"
            )
    name = next(iter(references))
    mine, ref = model_modes(fast, references[name], name, primitives[name]), references[name]
    d = mine.frequencies - ref.frequencies
    low = ref.frequencies < 20
    parts.append(
        f"{name} modes (sorted): lowest {np.round(mine.frequencies[:4], 2)} rmsd {np.sqrt(np.mean(d**2)):.3f} "
        f"below 20 {np.sqrt(np.mean(d[low] ** 2)):.3f} max {np.abs(d).max():.2f}"
    )
    return " | ".join(parts)


def in_double(model: torch.nn.Module, device: torch.device) -> FastMACE:
    """Copy a model to double precision on a device."""
    return FastMACE(copy.deepcopy(model).double().to(device))


class Gradients:
    """Losses of what one stream draws of one framework, and their derivatives by the parameters.

    Parameters
    ----------
    fast : FastMACE
        The model.
    minimum : Minimum
        Of the framework.
    targets : Targets
        Labelled configurations, of this framework among others.
    """

    def __init__(self, fast: FastMACE, minimum: Minimum, targets: Targets) -> None:
        self._fast, self._minimum, self._targets = fast, minimum, targets
        self._parameters = list(fast.model.parameters())
        self._recorded: dict[str, Recorded] = {}

    def __call__(self, amplitudes: Tensor, chosen: Sequence[int], scale: Scales) -> list[tuple[Tensor, ...]]:
        """Compute both pieces; on a GPU they are there after ``torch.cuda.synchronize()``.

        Parameters
        ----------
        amplitudes : Tensor
            Of the displacement that the Hessian is multiplied with.
        chosen : sequence of int
            Labelled configurations, always as many.
        scale : Scales

        Returns
        -------
        list of (Tensor, Tensor)
            Losses of each piece, together in the order of `WEIGHTS`, and the derivatives, flat.
        """
        graph, labels = self._targets.joined(chosen)
        given = [torch.tensor(value).to(amplitudes) for value in astuple(scale)]
        return [
            self._run("minimum", self._at_minimum, amplitudes, *given),
            self._run("labelled", partial(self._labelled, graph.groups), *tensors(graph), *tensors(labels), *given),
        ]

    def _run(self, piece: str, function: Function, *arguments: Tensor) -> tuple[Tensor, ...]:
        if self._fast.device.type != "cuda":
            return function(*arguments)
        if piece not in self._recorded:
            self._recorded[piece] = Recorded(function, *arguments)
        return self._recorded[piece](*arguments)

    def _at_minimum(self, amplitudes: Tensor, *scale: Tensor) -> tuple[Tensor, ...]:
        return self._differentiated(self._minimum.losses(self._fast, amplitudes, Scales(*scale)))

    def _labelled(self, groups: Groups, *given: Tensor) -> tuple[Tensor, ...]:
        scale, labels = len(fields(Scales)), len(fields(Labels))
        graph = Graph(groups, *given[: -labels - scale])
        return self._differentiated(
            errors(self._fast, graph, Labels(*given[-labels - scale : -scale]), Scales(*given[-scale:]))
        )

    def _differentiated(self, losses: dict[str, Tensor]) -> tuple[Tensor, ...]:
        total = sum(WEIGHTS[k] * tempered(v) for k, v in losses.items())
        assert isinstance(total, Tensor)
        found = torch.autograd.grad(total, self._parameters, allow_unused=True, materialize_grads=True)
        means = torch.stack([v.detach().mean() for v in losses.values()])
        return means, torch.cat([each.reshape(-1) for each in found])


def _now(stage: Stage, step: int) -> str:
    return f"{time.strftime('%H:%M:%S')} {stage.name} {step}"


def train(
    stage: Stage, start: Path | None, work: Path, log: Path, workers: int = 1, device: torch.device | str = "cpu"
) -> Path:
    """Run one stage, continuing its own checkpoint where there is one.

    A step averages the gradients of `STREAMS` streams of configurations, which the workers, processes, share; their
    number changes the result by no more than rounding.

    Parameters
    ----------
    stage : Stage
        What to do.
    start : Path, optional
        Finished model (``config``, ``state_dict``) to start from; without it the weights are random.
    work : Path
        Work folder; ``models/STAGE.pt`` is the finished model, ``models/STAGE-running.pt`` the checkpoint.
    log : Path
        File that progress is appended to.
    workers : int
        Number of processes, at most `STREAMS`; one on a GPU.
    device : torch.device or str
        Where the network is evaluated.
    """
    finished = work / "models" / f"{stage.name}.pt"
    if not finished.exists():
        load_all(work)  # writes the Hessians that are not there yet, which the workers would do at once
        with tempfile.TemporaryDirectory() as meeting:
            arguments = (workers, Path(meeting) / "point", stage, start, work, log, torch.device(device))
            multiprocessing.spawn(_train, arguments, workers)
    return finished


def _set_gradients(model: torch.nn.Module, flat: Tensor) -> None:
    k = 0
    for p in model.parameters():
        p.grad = flat[k : k + p.numel()].view_as(p)
        k += p.numel()


@torch.no_grad()
def _copy_parameters(source: torch.nn.Module, target: torch.nn.Module) -> None:
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        b.copy_(a)


def _train(
    rank: int,
    workers: int,
    meeting: Path,
    stage: Stage,
    start: Path | None,
    work: Path,
    log: Path,
    device: torch.device,
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=workers)
    finished, running = work / "models" / f"{stage.name}.pt", work / "models" / f"{stage.name}-running.pt"
    torch.manual_seed(stage.seed)
    torch.set_default_dtype(torch.float32)
    ideal = [read(work / "minima" / f"{name}-saddle.extxyz") for name in FRAMEWORKS]
    references = {k: m for k, m in load_all(work).items() if k in stage.weights}
    names = list(stage.weights)
    primitives = {name: read(work / "minima" / f"{name}.extxyz") for name in names}
    config: dict[str, Any]
    if start is not None:
        content = torch.load(start, weights_only=True)
        config, state = content["config"], content["state_dict"]
    else:
        config = {
            **ARCHITECTURE,
            "hidden_irreps": f"{stage.channels}x0e+{stage.channels}x1o",
            "atomic_energies": atomic_energies(ideal, isolated_energies(work)),
        }
        state = None
    model = build_model(config)
    if state is not None:
        model.load_state_dict(state)
    else:
        balance(model)
    average = copy.deepcopy(model)
    own = dict(zip(config["atomic_numbers"], config["atomic_energies"], strict=True))
    optimiser = SOAP(model.named_parameters(), channels=o3.Irreps(config["hidden_irreps"])[0].mul)
    step, norm = 0, 0.0
    if running.exists():
        content = torch.load(running, weights_only=True)
        model.load_state_dict(content["model"])
        average.load_state_dict(content["average"])
        optimiser.load_state_dict(content["optimiser"])
        step, norm = content["step"], content["norm"]
    # The optimiser's many small matrices are faster on the CPU.
    replica = copy.deepcopy(model).to(device) if device.type == "cuda" else model
    fast = FastMACE(replica)
    # Small differences hold nothing that the Hessian does not.
    frames = [a for a in load_frames(work, "train", names) if a.info["kind"] != "difference"]
    targets = Targets(frames, own, fast)
    tests = Targets(load_frames(work, "test", names), own, in_double(average, device))
    gradients = {
        (name, stream): Gradients(fast, Minimum(modes, fast), targets)
        for name, modes in references.items()
        for stream in range(rank, STREAMS, workers)
    }
    sums = torch.zeros(len(WEIGHTS))
    clock, since = time.time(), step
    while step < stage.steps:
        rate = stage.rate[1] + 0.5 * (stage.rate[0] - stage.rate[1]) * (1 + math.cos(math.pi * step / stage.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50)
        begin, end = stage.tighten
        scale = scales(begin + (end - begin) * min(1.0, step / (0.6 * stage.steps)))
        pieces = []
        for stream in range(rank, STREAMS, workers):
            rng = np.random.default_rng([7 + stage.seed, step, stream])
            name = str(rng.choice(names, p=list(stage.weights.values())))
            chosen = rng.choice(np.flatnonzero(targets.names == name), stage.batch, replace=False)
            generator = torch.Generator().manual_seed(10**6 * stage.seed + STREAMS * step + stream)
            amplitudes = torch.randn(len(references[name].frequencies), generator=generator).to(device)
            pieces += gradients[name, stream](amplitudes, chosen, scale)
        if device.type == "cuda":
            torch.cuda.synchronize()
        sums += torch.cat([losses.cpu() for losses, _ in pieces]).view(-1, len(WEIGHTS)).sum(0)
        flat = torch.stack([derivatives for _, derivatives in pieces]).sum(0).cpu() / STREAMS
        distributed.all_reduce(flat)
        _set_gradients(model, flat)
        grad = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0 * norm if norm else 10.0))
        norm = min(grad, 2.0 * norm) * 0.02 + 0.98 * norm if norm else grad
        optimiser.step()
        if replica is not model:
            _copy_parameters(model, replica)
        decay = min(0.995, step / (step + 10.0))
        with torch.no_grad():
            for a, b in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 1.0 - decay)
        step += 1
        if rank:
            continue
        if step % 50 == 0:
            drawn = 50 * len(range(0, STREAMS, workers))
            line = " ".join(f"{k} {math.sqrt(v / drawn):.4f}" for k, v in zip(WEIGHTS, sums, strict=True))
            pace = (time.time() - clock) / (step - since)
            with log.open("a") as out:
                out.write(f"{_now(stage, step)} lr {rate:.5f} {pace:.2f} s/step grad {grad:.3g} {line}\n")
            sums, clock, since = torch.zeros(len(WEIGHTS)), time.time(), step
        if step % CHECKPOINT_EVERY == 0 or step == stage.steps:
            save(
                running,
                {
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "norm": norm,
                    "config": config,
                },
            )
        if step % REPORT_EVERY == 0:
            with log.open("a") as out:
                out.write(f"{_now(stage, step)} {report(in_double(average, device), references, primitives, tests)}\n")
            clock, since = time.time(), step
    if rank == 0:
        save(finished, {"config": config, "state_dict": average.state_dict()})
    distributed.destroy_process_group()

"""Training with curvature in the loss.

Each step sees the exact minimum of one framework, where the model's Hessian is compared with the reference's (see
:mod:`losses`), and a labelled configuration of the same framework.
"""

from __future__ import annotations

import copy
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from crystals import FRAMEWORKS
from e3nn import o3
from fast import FastMACE
from hessian import Modes, diagonalise, from_phonopy, full_hessian, load_all, setup
from labels import isolated_energies
from losses import TIGHT, WEIGHTS, Minimum, Targets, scales, tempered
from model import ARCHITECTURE, atomic_energies, balance, build_model, save
from sample import load as load_frames
from soap import SOAP
from torch import distributed, multiprocessing

CHECKPOINT_EVERY = 100  # steps
REPORT_EVERY = 250  # steps


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
    batch: int = 3
    seed: int = 0
    channels: int = 32


STREAMS = 2
STAGES = (
    Stage("mof5", {"MOF-5": 1.0}, 1500, (1e-2, 1e-3), (0.0, 0.5)),
    Stage("four", {"MOF-5": 0.6, "UiO-66": 0.14, "MOF-74": 0.13, "MIL-53": 0.13}, 4500, (1.5e-3, 1e-5), (0.2, 0.5)),
)


def model_modes(fast: FastMACE, modes: Modes, name: str, primitive: Atoms) -> Modes:
    """Modes of the model at the reference's minimum, by central differences in the model's own precision."""
    phonon = setup(primitive, FRAMEWORKS[name].repeat)
    forces = []
    for cell in phonon.supercells_with_displacements:
        graph = fast.graph(from_phonopy(cell))
        found = np.empty((len(cell), 3))
        found[graph.order] = -fast.evaluate(graph).gradient.detach().numpy()
        forces.append(found)
    return diagonalise(modes.atoms, full_hessian(phonon, forces))


def report(model: torch.nn.Module, references: dict[str, Modes], primitives: dict[str, Atoms], tests: Targets) -> str:
    """Errors on the test sets, and at the reference's minima, of a copy of the model in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        fast = FastMACE(copy.deepcopy(model).double())
        parts = []
        for name in references:
            chosen = [k for k, a in enumerate(tests.frames) if a.info["name"] == name and a.info["kind"] == "thermal"][
                :4
            ]
            if chosen:
                e = {k: math.sqrt(v.detach().mean()) for k, v in tests.errors(fast, chosen, TIGHT, train=False).items()}
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
    finally:
        torch.set_default_dtype(torch.float32)
    return " | ".join(parts)


def _now(stage: Stage, step: int) -> str:
    return f"{time.strftime('%H:%M:%S')} {stage.name} {step}"


def train(stage: Stage, start: Path | None, work: Path, log: Path, workers: int = 1) -> Path:
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
        Number of processes, at most `STREAMS`.
    """
    finished = work / "models" / f"{stage.name}.pt"
    if not finished.exists():
        with tempfile.TemporaryDirectory() as meeting:
            multiprocessing.spawn(_train, (workers, Path(meeting) / "point", stage, start, work, log), workers)
    return finished


def _average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    flat = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None])
    distributed.all_reduce(flat)
    flat /= STREAMS
    k = 0
    for p in parameters:
        if p.grad is not None:
            p.grad.copy_(flat[k : k + p.numel()].view_as(p))
            k += p.numel()


def _train(rank: int, workers: int, meeting: Path, stage: Stage, start: Path | None, work: Path, log: Path) -> None:
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
    fast = FastMACE(model)
    minima = {k: Minimum(m, fast) for k, m in references.items()}
    targets, tests = Targets(load_frames(work, "train", names), own), Targets(load_frames(work, "test", names), own)
    sums: dict[str, float] = {}
    clock, since = time.time(), step
    while step < stage.steps:
        rate = stage.rate[1] + 0.5 * (stage.rate[0] - stage.rate[1]) * (1 + math.cos(math.pi * step / stage.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50)
        begin, end = stage.tighten
        scale = scales(begin + (end - begin) * min(1.0, step / (0.6 * stage.steps)))
        optimiser.zero_grad(set_to_none=True)
        for stream in range(rank, STREAMS, workers):
            rng = np.random.default_rng([7 + stage.seed, step, stream])
            name = str(rng.choice(names, p=list(stage.weights.values())))
            chosen = list(rng.choice(np.flatnonzero(targets.names == name), stage.batch, replace=False))
            generator = torch.Generator().manual_seed(10**6 * stage.seed + STREAMS * step + stream)
            losses = minima[name].losses(fast, generator, scale)
            sum(WEIGHTS[k] * tempered(v) for k, v in losses.items()).backward()
            more = targets.errors(fast, chosen, scale)
            sum(WEIGHTS[k] * tempered(v) for k, v in more.items()).backward()
            for k, v in (losses | more).items():
                sums[k] = sums.get(k, 0.0) + float(v.detach().mean())
        _average_gradients(list(model.parameters()))
        grad = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0 * norm if norm else 10.0))
        norm = min(grad, 2.0 * norm) * 0.02 + 0.98 * norm if norm else grad
        optimiser.step()
        decay = min(0.995, step / (step + 10.0))
        with torch.no_grad():
            for a, b in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 1.0 - decay)
        step += 1
        if rank:
            continue
        if step % 50 == 0:
            drawn = 50 * len(range(0, STREAMS, workers))
            line = " ".join(f"{k} {math.sqrt(v / drawn):.4f}" for k, v in sums.items())
            pace = (time.time() - clock) / (step - since)
            with log.open("a") as out:
                out.write(f"{_now(stage, step)} lr {rate:.5f} {pace:.2f} s/step grad {grad:.3g} {line}\n")
            sums, clock, since = {}, time.time(), step
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
                out.write(f"{_now(stage, step)} {report(average, references, primitives, tests)}\n")
            clock, since = time.time(), step
    if rank == 0:
        save(finished, {"config": config, "state_dict": average.state_dict()})
    distributed.destroy_process_group()

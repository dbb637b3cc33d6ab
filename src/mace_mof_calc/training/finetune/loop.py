"""The epochs: mace's steps, with checkpoints that a kill cannot harm, and an end when nothing improves.

The loop is not mace's own, because that of mace-torch 0.3.16 does not stop early in a single process
(https://github.com/ACEsuit/mace/issues/1384), removes the last checkpoint before it writes the next, and after a
restart knows neither the moving average of the parameters nor the best epoch so far. A training that was stopped and
goes on here gives what it would have given in one go.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import TrainingError
from ...files import write_file
from ..checkpoints import load_checkpoint, save_checkpoint
from ..progress import Track, silently
from .curves import HeadErrors, format_table
from .graphs import default_dtype, make_loader
from .recipe import make_arguments
from .validation import get_device, make_loss, measure_head

CHECKPOINT, BEST, CURVES = "checkpoint.pt", "best.pt", "curves.csv"

FAR = 1.0
"""Energies that are so far off at the start (eV/atom) count from another zero than the model's."""

_OUTPUTS = {"forces": True, "virials": False, "stress": True}


class EnergiesWarning(UserWarning):
    """A training begins with energies that are far off."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A finished training.

    Attributes
    ----------
    state : mapping of str to torch.Tensor
        Averaged parameters of the best epoch, the one of the least loss of the last head on its validation frames.
    epochs, best : int
        Epochs done, and the best of them, 0 for the beginning.
    stopped_early : bool
        Whether it ended because nothing had improved.
    history : tuple of HeadErrors
        On the validation frames of each head, epoch after epoch.
    """

    state: Mapping[str, Any]
    epochs: int
    best: int
    stopped_early: bool
    history: tuple[HeadErrors, ...]


def train(
    module: Any,
    graphs: Sequence[Any],
    valid: Mapping[str, Sequence[Any]],
    settings: Mapping[str, Any],
    folder: Path,
    *,
    question: str,
    epochs: int,
    patience: int,
    track: Track = silently,
) -> Trained:
    """Train a model, going on from the checkpoint in a folder where there is one.

    Parameters
    ----------
    module : torch.nn.Module
        In training mode, on its device; its parameters change.
    graphs : sequence
        Of the frames to train on, of all heads.
    valid : mapping of str to sequence
        Of the frames to validate with, by head, the one that counts last.
    settings : mapping
        As from `recipe.Recipe.describe`.
    folder : Path
        For the checkpoint, the best parameters, and a table of learning curves so far; it exists.
    question : str
        What is trained on, and how, in a digest: a checkpoint of another question is refused.
    epochs : int
        In all, those before a restart included.
    patience : int
        End after so many epochs without improvement.
    track : Track, optional

    Warns
    -----
    EnergiesWarning
        Before the first epoch the energies of the head that counts are off by more than `FAR`.

    Raises
    ------
    TrainingError
        The loss is not finite, or the checkpoint cannot be read or is that of another training.
    """
    with default_dtype(settings["dtype"]):
        run = _Run(module, graphs, valid, settings, question)
        if (folder / CHECKPOINT).is_file():
            run.restore(folder)
        else:
            run.validate(epoch=0)
            _look_at(run.progress.history[-1])
            run.keep(folder)
        for _ in track(range(run.progress.epoch, epochs), "epochs"):
            if run.progress.epoch - run.progress.best >= patience:
                break
            run.do_epoch()
            run.keep(folder)
    progress = run.progress
    return Trained(
        state=load_checkpoint(folder / BEST),
        epochs=progress.epoch,
        best=progress.best,
        stopped_early=progress.epoch < epochs,
        history=tuple(progress.history),
    )


@dataclass(slots=True)
class _Progress:
    epoch: int = 0
    best: int = 0
    least: float = math.inf
    history: list[HeadErrors] = field(default_factory=list)


class _Run:
    """What changes while a model is trained."""

    def __init__(
        self,
        module: Any,
        graphs: Sequence[Any],
        valid: Mapping[str, Sequence[Any]],
        settings: Mapping[str, Any],
        question: str,
    ) -> None:
        from mace.tools.scripts_utils import LRScheduler, get_optimizer, get_params_options
        from torch_ema import ExponentialMovingAverage

        arguments = make_arguments(settings)
        self.module, self.valid, self.settings = module, valid, settings
        self.question = question
        self.loader = make_loader(graphs, settings["batch"], shuffle=True)
        self.loss = make_loss(settings, module)
        self.optimizer = get_optimizer(arguments, get_params_options(arguments, module))
        self.scheduler = LRScheduler(self.optimizer, arguments)
        self.average = ExponentialMovingAverage(module.parameters(), decay=arguments.ema_decay)
        self.clip = arguments.clip_grad
        self.progress = _Progress()

    def do_epoch(self) -> None:
        from mace.tools.train import train_one_epoch

        epoch, losses, begin = self.progress.epoch + 1, _Losses(), time.perf_counter()
        # The order follows from the epoch alone, so that a restart does not change it.
        self.loader.generator.manual_seed(self.settings["seed"] * 1_000_003 + epoch)
        rate = self.optimizer.param_groups[0]["lr"]
        train_one_epoch(
            model=self.module,
            loss_fn=self.loss,
            data_loader=self.loader,
            optimizer=self.optimizer,
            epoch=epoch,
            output_args=_OUTPUTS,
            max_grad_norm=self.clip,
            ema=self.average,
            logger=losses,  # type: ignore[arg-type]  # mace's own writes a file
            device=get_device(self.module),
            distributed=False,
        )
        seconds = time.perf_counter() - begin
        self.validate(epoch=epoch, learning_rate=rate, train_loss=losses.mean(), seconds=seconds)
        self.scheduler.step(metrics=self.progress.history[-1].loss)

    def validate(self, *, epoch: int, **of_epoch: Any) -> None:
        with self.average.average_parameters():
            found = [
                measure_head(self.module, self.loss, head, graphs, self.settings["batch"], epoch=epoch, **of_epoch)
                for head, graphs in self.valid.items()
            ]
        if not all(math.isfinite(value) for each in found for value in (each.loss, each.train_loss or 0.0)):
            raise TrainingError(
                f"The loss is not finite in epoch {epoch}",
                "The steps are too large, or a label is absurd",
                "Lower --lr",
            )
        self.progress.epoch = epoch
        self.progress.history += found
        if found[-1].loss < self.progress.least:
            self.progress.least, self.progress.best = found[-1].loss, epoch

    def keep(self, folder: Path) -> None:
        if self.progress.best == self.progress.epoch:
            with self.average.average_parameters():
                save_checkpoint(self.module.state_dict(), folder / BEST)
        write_file(folder / CURVES, format_table(self.progress.history).encode())
        progress = {**asdict(self.progress), "history": [asdict(each) for each in self.progress.history]}
        content = {"question": self.question, "progress": progress}
        save_checkpoint({**content, **{name: part.state_dict() for name, part in self._parts()}}, folder / CHECKPOINT)

    def restore(self, folder: Path) -> None:
        checkpoint = load_checkpoint(folder / CHECKPOINT, self.question)
        for name, part in self._parts():
            part.load_state_dict(checkpoint[name])
        self.average.to(device=get_device(self.module))
        progress = checkpoint["progress"]
        self.progress = _Progress(**{**progress, "history": [HeadErrors(**each) for each in progress["history"]]})

    def _parts(self) -> list[tuple[str, Any]]:
        return [
            ("module", self.module),
            ("optimizer", self.optimizer),
            ("scheduler", self.scheduler),
            ("average", self.average),
        ]


def _look_at(start: HeadErrors) -> None:
    if start.energy_rmse > FAR:
        warnings.warn(
            f"At the start the energies of the frames are off by {start.energy_rmse:.3g} eV/atom, as if they counted "
            "from another zero than the model's: --energies fit finds it",
            EnergiesWarning,
            stacklevel=3,
        )


class _Losses:
    """What mace's steps report to."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def log(self, report: Mapping[str, Any]) -> None:
        self.values.append(float(report["loss"]))

    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

"""Learning curves, as a table and as a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class HeadErrors:
    """Errors of a head on frames, after an epoch.

    Attributes
    ----------
    epoch : int
        0 before training.
    head : str
    loss : float
    energy_rmse, energy_mae : float
        eV/atom.
    forces_rmse, forces_mae : float
        eV/A, of components.
    stress_rmse, stress_mae : float or None
        eV/A^3, of all six components; None where no frame has a stress.
    learning_rate, train_loss : float or None
        Of the epoch; None before training.
    seconds : float
        That the steps of the epoch took.
    """

    epoch: int
    head: str
    loss: float
    energy_rmse: float
    energy_mae: float
    forces_rmse: float
    forces_mae: float
    stress_rmse: float | None
    stress_mae: float | None
    learning_rate: float | None = None
    train_loss: float | None = None
    seconds: float = 0.0


_COLUMNS = {
    "epoch": 1,
    "head": 1,
    "loss": 1,
    "energy_rmse": 1e3,
    "energy_mae": 1e3,
    "forces_rmse": 1e3,
    "forces_mae": 1e3,
    "stress_rmse": 1e3,
    "stress_mae": 1e3,
    "learning_rate": 1,
    "train_loss": 1,
    "seconds": 1,
}
_UNITS = {"energy": "meV/atom", "forces": "meV/A", "stress": "meV/A^3"}


def format_table(history: Sequence[HeadErrors], unit: str = "epoch") -> str:
    """Return learning curves as CSV, errors in meV/atom, meV/A and meV/A^3; `unit` is what is counted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([unit if name == "epoch" else _title(name) for name in _COLUMNS])
    for each in history:
        values = [(getattr(each, name), factor) for name, factor in _COLUMNS.items()]
        writer.writerow([_format(value, factor) for value, factor in values])
    return text.getvalue()


def plot_curves(history: Sequence[HeadErrors], best: int, unit: str = "epoch") -> Figure:
    """Draw losses and errors on the validation frames of each head against epochs, and mark the one that was kept."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    labels = {"loss": "loss", **{f"{name}_rmse": f"RMSE of {name} ({unit})" for name, unit in _UNITS.items()}}
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
        for head in dict.fromkeys(each.head for each in history):
            own = [each for each in history if each.head == head and getattr(each, name) is not None]
            values = [getattr(each, name) * _COLUMNS[name] for each in own]
            ax.plot([each.epoch for each in own], values, label=head)
        ax.axvline(best, color="0.6", linestyle=":")
        ax.set(xlabel=unit, ylabel=label, yscale="log")
        ax.xaxis.get_major_locator().set_params(integer=True)
    last = history[-1].head
    trained = [each for each in history if each.head == last and each.train_loss is not None]
    axes[0].plot([each.epoch for each in trained], [each.train_loss for each in trained], "k--", label="training")
    axes[0].legend()
    return figure


def _title(name: str) -> str:
    unit = _UNITS.get(name.partition("_")[0])
    return name if unit is None else f"{name}_{unit.replace('/', '_per_').replace('^', '')}"


def _format(value: float | str | None, factor: float) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value * factor:.8g}"

"""Loss and errors of a model on frames, whatever batches they are evaluated in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .curves import HeadErrors
from .graphs import default_dtype, make_loader
from .recipe import make_arguments

_LABELS = ("energy", "forces", "stress")
_WEIGHTS = ("energy_weight", "forces_weight", "stress_weight")
_VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))


def measure(module: Any, graphs: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]) -> tuple[HeadErrors, ...]:
    """Return the errors of each head on graphs of its own."""
    with default_dtype(settings["dtype"]):
        loss = make_loss(settings, module)
        return tuple(measure_head(module, loss, head, own, settings["batch"], epoch=0) for head, own in graphs.items())


def measure_head(module: Any, loss: Any, head: str, graphs: Sequence[Any], batch: int, **of_epoch: Any) -> HeadErrors:
    """Return the errors of a head, and the loss of all graphs as of a single batch.

    The loss is not averaged over batches, since that of a batch is an average over its atoms: it would depend on which
    frames happen to come together.

    Parameters
    ----------
    module : torch.nn.Module
    loss : torch.nn.Module
        As from `make_loss`.
    head : str
    graphs : sequence
        Of that head.
    batch : int
        Graphs that are evaluated at once.
    **of_epoch
        More for the result.
    """
    import torch
    from mace.tools.torch_geometric import Data
    from mace.tools.train import preserve_grad_state

    outputs = []
    with preserve_grad_state(module):
        for each in make_loader(graphs, batch, shuffle=False):
            moved = each.to(get_device(module))
            output = module(moved.to_dict(), training=False, compute_force=True, compute_stress=True)
            labels = {name: moved[name] for name in _LABELS + _WEIGHTS}
            outputs.append((labels, {name: output[name].detach() for name in _LABELS}, moved.ptr.diff()))
    labels = {name: torch.cat([labels[name] for labels, _, _ in outputs]) for name in _LABELS + _WEIGHTS}
    found = {name: torch.cat([found[name] for _, found, _ in outputs]) for name in _LABELS}
    sizes = torch.cat([sizes for _, _, sizes in outputs])
    starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    left = {name: labels[name] - found[name] for name in _LABELS}
    stress = left["stress"][labels["stress_weight"] > 0][:, *_VOIGT]
    return HeadErrors(
        head=head,
        loss=float(loss(pred=found, ref=Data(**labels, ptr=starts))),
        energy_rmse=_rms(left["energy"] / sizes),
        energy_mae=_mean(left["energy"] / sizes),
        forces_rmse=_rms(left["forces"]),
        forces_mae=_mean(left["forces"]),
        stress_rmse=_rms(stress) if len(stress) else None,
        stress_mae=_mean(stress) if len(stress) else None,
        **of_epoch,
    )


def make_loss(settings: Mapping[str, Any], module: Any) -> Any:
    """Return mace's loss with the weights of the settings, on the device of the model."""
    from mace.tools.scripts_utils import get_loss_fn

    return get_loss_fn(make_arguments(settings), dipole_only=False, compute_dipole=False).to(get_device(module))


def get_device(module: Any) -> Any:
    """Return where the parameters of a model are."""
    return next(module.parameters()).device


def _rms(errors: Any) -> float:
    return float(errors.square().mean().sqrt())


def _mean(errors: Any) -> float:
    return float(errors.abs().mean())

"""Which models this package's engine evaluates, and how."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from .engine.engine import Backend, Engine
from .engine.folding import UnfoldableError
from .errors import AccelerationError
from .models.loading import LoadedModel

_LOGGER = logging.getLogger(__name__)


def choose_backend(accelerate: bool | str, device: str) -> Backend | None:
    """Return how the engine computes on a device, or None where it does not.

    Parameters
    ----------
    accelerate : bool or str
        As `MaceMOF` takes it.
    device : str
        ``cpu``, ``cuda`` or ``cuda:1``.

    Raises
    ------
    AccelerationError
        There is no such way, or not on this device.
    """
    on_cpu = device.partition(":")[0] == "cpu"
    if accelerate is False:
        return None
    if accelerate is True:
        return "compiled" if on_cpu else "pytorch"
    if accelerate == "pytorch":
        return "pytorch"
    if accelerate == "compiled" and on_cpu:
        return "compiled"
    raise AccelerationError(
        f"Acceleration {accelerate!r} on {device} was asked for",
        "There are 'compiled', on the CPU alone, and 'pytorch'",
        "Use one of these, True or False",
    )


def make_engines(
    members: Sequence[LoadedModel], backend: Backend | None, device: str, dtype: str, memory: int | None
) -> tuple[Engine, ...]:
    """Return an engine for each member, or none where none is wanted or one of them cannot have any.

    Parameters
    ----------
    members : sequence of LoadedModel
        In double precision on the CPU.
    backend : Backend or None
        None wants no engines.
    device, dtype : str
        Where and in which precision the engines compute.
    memory : int or None
        Bytes; see `Engine`.
    """
    if backend is None:
        return ()
    options: dict[str, Any] = {"device": device, "dtype": getattr(torch, dtype), "backend": backend, "memory": memory}
    try:
        return tuple(Engine(member.module, member.heads.index(member.head), **options) for member in members)
    except UnfoldableError as error:
        _LOGGER.info("mace itself evaluates %s: %s", members[0].name, error)
        return ()

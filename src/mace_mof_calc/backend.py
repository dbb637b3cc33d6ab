"""Import of mace and e3nn without their side effects on the rest of the process."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

__all__ = ["import_mace", "jit_without_warning"]

_FORCE_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_MODULES = ("e3nn.o3", "mace", "mace.modules", "mace.data", "mace.tools.torch_geometric", "mace.calculators.mace")


def import_mace() -> ModuleType:
    """Import mace, with the modules that this package uses, and leave no trace of it.

    Importing mace (0.3.16) sets ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` for the whole process, which switches off a
    protection in everybody's calls of ``torch.load``, changes the font size of everybody's figures, and prints a line
    where cuequivariance is not installed. Here the variable gets back the value it had, set or not, figures are as
    before, and nothing is printed. Later imports of these modules have no such effect.

    Returns
    -------
    module
        The module ``mace``.
    """
    if not all(name in sys.modules for name in _MODULES):
        from matplotlib import rc_context

        with _environment_kept(), rc_context(), contextlib.redirect_stdout(io.StringIO()), jit_without_warning():
            # Only where the user set the variable: e3nn loads its constants with the default of torch.load.
            warnings.filterwarnings("ignore", message=f".*{_FORCE_UNSAFE}", category=UserWarning)
            _import_e3nn()
            for name in _MODULES:
                importlib.import_module(name)
    return sys.modules["mace"]


@contextlib.contextmanager
def jit_without_warning() -> Iterator[None]:
    """Keep quiet that e3nn and PyTorch itself still use ``torch.jit``, which is deprecated."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # the latter since PyTorch 2.14
            warnings.filterwarnings("ignore", message=r".*`torch\.jit\.", category=category)
        yield


def _import_e3nn() -> None:
    """Import e3nn, whose file of constants holds slices; importing mace first would load that file unprotected."""
    import torch

    allowed = slice in torch.serialization.get_safe_globals()
    with contextlib.nullcontext() if allowed else torch.serialization.safe_globals([slice]):
        importlib.import_module("e3nn.o3")


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    before = os.environ.get(_FORCE_UNSAFE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_FORCE_UNSAFE, None)
        else:
            os.environ[_FORCE_UNSAFE] = before

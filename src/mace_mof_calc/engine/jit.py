"""Compilation of loops by Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., None])


def compiled(function: Function) -> Function:
    """Compile a function at its first call, and keep the result on disk."""
    options: dict[str, Any] = {
        "fastmath": {"contract", "reassoc", "nsz"},
        "cache": True,
        "error_model": "numpy",
        "nogil": True,
    }
    return cast("Function", numba.njit(**options)(function))

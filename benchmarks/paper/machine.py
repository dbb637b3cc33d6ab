"""On what a table was made: processor, memory and versions, and nothing that tells whose it is."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

from peers.identity import processor

from phonopy_mlp.provenance import installed_versions

_MORE = ("e3nn", "numba", "phonors", "tblite", "torch-dftd")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory in GB, threads of each process, and versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_GB": round(memory / 1e9, 1),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "versions": {**installed_versions(), **{name: version(name) for name in _MORE}},
    }

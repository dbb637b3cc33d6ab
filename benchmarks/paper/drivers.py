"""All drivers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from paper import bands, cells, expansion, frequencies, labels, moduli, positions, speed
from paper.study import Study

DRIVERS = {
    "cells": cells,
    "labels": labels,
    "frequencies": frequencies,
    "expansion": expansion,
    "positions": positions,
    "bands": bands,
    "moduli": moduli,
    "speed": speed,
}


def run(study: Study, chosen: Sequence[str]) -> None:
    """Run drivers."""
    for name in chosen:
        started = time.perf_counter()
        DRIVERS[name].run(study)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)

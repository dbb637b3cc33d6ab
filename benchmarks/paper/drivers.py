"""All drivers, and what they need of each framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

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
RUNS: Mapping[str, Callable[[Study, str], object]] = {
    "cells": Study.relaxed,
    "frequencies": Study.relaxed,
    "positions": Study.relaxed,
    "bands": Study.phonons,
    "moduli": moduli.compute,
    "expansion": expansion.compute,
}
"""What the drivers need of each framework, and what takes nearly all of the time."""


def run(study: Study, chosen: Sequence[str], jobs: int) -> dict[str, float]:
    """Run drivers and return the seconds that each took, and before them the runs on the frameworks."""
    seconds = {}
    started = time.perf_counter()
    if jobs > 1 and RUNS.keys() & set(chosen):
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            tasks = [pool.submit(_compute, study, framework, chosen) for framework in study.frameworks]
            for task in tasks:
                study.failures.update(task.result())
        seconds["runs"] = round(time.perf_counter() - started)
    for name in chosen:
        started = time.perf_counter()
        DRIVERS[name].run(study)
        seconds[name] = round(time.perf_counter() - started)
        print(f"{name}: {seconds[name]} s", flush=True)
    return seconds


def _compute(study: Study, framework: str, chosen: Sequence[str]) -> dict[tuple[str, str], str]:
    """Do the runs on a framework that drivers need, and return what failed of them."""
    for name in chosen:
        if name in RUNS:
            with study.trying(framework, name):
                RUNS[name](study, framework)
    return study.failures

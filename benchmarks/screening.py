"""What a screening costs besides its tasks; writes ``results/screening.csv``.

    PYTHONPATH=tests/support python benchmarks/screening.py [overhead] [memory] [workers]

* overhead: relaxations of copper with EMT by one worker on one core; the time from start to end less that of the tasks.
* memory: the same by two workers; the largest resident memory of the driver.
* workers: phonons of strained MIL-53 with `mini`, one worker on one core, one with two threads, two with one each.

Rows of what is not named stay.
"""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from ase import Atoms
from ase.build import bulk
from ase.db import connect
from ase.io import write
from distributions import write_distribution
from rows import RESULTS, write_rows

from mace_mof_calc import structures

_EMT = """
from ase.calculators.emt import EMT


def emt(*, device, dtype):
    return EMT()
"""
_POINTS = "[phonopy_mlp.calculators]\nemt = emt_calculator:emt\n"

CASES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "overhead": ((20, 1, 1), (220, 1, 1)),
    "memory": ((10, 2, 2), (100, 2, 2), (1000, 2, 2), (10000, 2, 2)),
    "workers": ((40, 1, 1), (40, 1, 2), (40, 2, 2)),
}
"""Structures, workers and cores."""

TABLE = RESULTS / "screening.csv"


def main() -> None:
    """Measure what is named, or all, and write the table."""
    names = sys.argv[1:] or list(CASES)
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows: list[dict[str, object]] = [dict(row) for row in csv.DictReader(file) if row["measured"] not in names]
    for name in names:
        for count, workers, cores in CASES[name]:
            case = {"measured": name, "structures": count, "workers": workers, "cores": cores}
            rows.append({**case, **measure(name, count, workers, cores)})
            print(rows[-1], flush=True)
    rows.sort(key=lambda row: list(CASES).index(str(row["measured"])))
    write_rows(TABLE, rows, digits=4)


def measure(name: str, count: int, workers: int, cores: int) -> dict[str, float]:
    """Screen structures in a new folder, and return the times and the memory of it."""
    crystal, words = bulk("Cu"), ["--mlp", "emt", "--steps", "relax"]
    if name == "workers":
        crystal, words = (
            structures.load("MIL-53"),
            ["--mlp", "mini", "--steps", "phonons", "--set", "phonons", "--dim 1 1 1"],
        )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        site = write_distribution(folder, "emt_calculator", _EMT, _POINTS)
        (folder / "inputs").mkdir()
        for k, strain in enumerate(np.linspace(-0.01, 0.01, count)):
            write(folder / "inputs" / f"s{k:05d}.extxyz", _strained(crystal, strain))
        command = [sys.executable, "-m", "phonopy_mlp", "screen", str(folder / "inputs"), *words]
        process = subprocess.Popen(
            [*command, "--db", str(folder / "r.db"), "--workers", str(workers)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])},
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, range(cores)),
        )
        found = _watch(process)
        if process.returncode:
            raise SystemExit(f"The screening ended with status {process.returncode}")
        step = words[3]
        rows = connect(folder / "r.db").select(include_data=False)
        return {**found, "tasks_s": sum(row.key_value_pairs[f"{step}_seconds"] for row in rows)}


def _strained(atoms: Atoms, strain: float) -> Atoms:
    strained = atoms.copy()
    strained.set_cell(atoms.cell * (1 + strain), scale_atoms=True)
    return strained


def _watch(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """Wait for a process, and return how long it took, and what it alone took of a processor and of memory."""
    started, own, found = time.perf_counter(), psutil.Process(process.pid), {}
    while process.poll() is None:
        # At its end it has no memory any more, and then no process.
        with contextlib.suppress(psutil.NoSuchProcess, OSError, StopIteration):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            used = own.cpu_times()
            found = {"driver_cpu_s": used.user + used.system, "driver_MiB": float(peak.split()[1]) / 1024}
        time.sleep(0.05)
    return {"wall_s": time.perf_counter() - started, **found}


if __name__ == "__main__":
    main()

"""Where the time of ``phonopy --mlp`` goes as the supercell grows; writes ``results/profile.csv``.

    OMP_NUM_THREADS=1 python benchmarks/profile_run.py

runs MOF-5 with `mini` in 2x2x2 and in 3x3x3, each in a process of its own under cProfile, three times, and takes the
medians. The profiler slows Python code down, and other work on the machine everything: what counts are the ratios.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from rows import RESULTS, write_rows

DIMS, ROUNDS = (2, 3), 3
IMPORTS, PHONOPY = "import of our program and of phonopy", "phonopy's own program"
ALL, REST = "all", "rest"

PARTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "calculator: import of PyTorch and mace, model": (("cli/arguments.py", "make"),),
    "cells, their symmetry, displacements": (
        ("cli/cells.py", "choose_cells"),
        ("cli/cells.py", "choose_displacements"),
    ),
    "linear response": (("phonopy_mlp/linear_response.py", "linear_forces"),),
    "phonopy's force constants of the forces": (("phonopy_mlp/force_constants.py", "_finish"),),
    "health check": (("cli/health.py", "check_health"),),
    "phonopy_params.yaml": (("phonopy/api_phonopy.py", "save"),),
    "force_constants.hdf5": (("phonopy/file_IO.py", "write_force_constants_to_hdf5"),),
    PHONOPY: (("cli/delegate.py", "run_phonopy"),),
}
"""Functions, none of which calls another of them, by the end of their file's path and their name."""


def main() -> None:
    """Write the table."""
    with tempfile.TemporaryDirectory() as work:
        rounds = [{dim: _run_alone(dim, Path(work) / f"{number}-{dim}") for dim in DIMS} for number in range(ROUNDS)]
    rows: list[dict[str, str]] = []
    for name in [ALL, IMPORTS, *PARTS, REST]:
        small, large = (median(each[dim][name] for each in rounds) for dim in DIMS)
        seconds = {f"{dim}x{dim}x{dim} (s)": f"{each:.2f}" for dim, each in zip(DIMS, (small, large), strict=True)}
        rows.append({"part": name, **seconds, "ratio": f"{large / small:.2f}" if small >= 0.01 else ""})
    write_rows(RESULTS / "profile.csv", rows)


def _run_alone(dim: int, folder: Path) -> dict[str, float]:
    """Return seconds of each part of a run, from a process of its own that works in a new folder."""
    folder.mkdir()
    command = [sys.executable, str(Path(__file__).resolve()), str(dim)]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, env={**os.environ, "MPLBACKEND": "agg"})
    found: dict[str, float] = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
    return found


def run(dim: int) -> None:
    """Run ``phonopy --mlp`` in the working folder and write seconds of each part."""
    started = time.perf_counter()
    from phonopy_mlp.cli.main import phonopy_main

    imported = time.perf_counter() - started
    from mace_mof_calc import structures

    structures.load("MOF-5").write("MOF-5.vasp", direct=True)
    words = ["--mlp", "mini", "MOF-5.vasp", "--dim", *[str(dim)] * 3, "--device", "cpu"]
    profile = cProfile.Profile()
    assert profile.runcall(phonopy_main, words) == 0
    stats = pstats.Stats(profile)
    seconds = {name: sum(_cumulative(stats, *function) for function in functions) for name, functions in PARTS.items()}
    total = _cumulative(stats, "cli/main.py", "phonopy_main")
    found = {ALL: imported + total, IMPORTS: imported, **seconds, REST: total - sum(seconds.values())}
    Path("seconds.json").write_text(json.dumps(found), encoding="utf-8")


def _cumulative(stats: pstats.Stats, file: str, name: str) -> float:
    """Return the seconds (s) in a function and what it calls; 0 where it was not called."""
    rows = stats.stats  # type: ignore[attr-defined]  # typeshed leaves it out
    return sum(row[3] for (path, _, function), row in rows.items() if function == name and path.endswith(file))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(int(sys.argv[1]))
    else:
        main()

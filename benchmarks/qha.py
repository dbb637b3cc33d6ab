"""Time, memory and validity of a whole quasi-harmonic run; writes ``results/qha.csv``.

    python benchmarks/qha.py [folder]

``examples/qha_mof5.py`` (MOF-5 with `mini`, nine volumes, 2x2x2) in a process of its own with two threads, from the
imports to the figures. A row for each volume; what is of the whole run stands in every row. The folder keeps the files
of the run; it must be new or empty, for a run goes on from what it finds.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "qha.csv"
THREADS = 2


def measure(folder: Path) -> dict[str, str]:
    """Run the example in a folder and return what it took."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "examples" / "qha_mof5.py"), str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(THREADS)})
    wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "threads": str(THREADS),
        "wall time (s)": f"{wall:.0f}",
        "processor time (s)": f"{used.ru_utime + used.ru_stime:.0f}",
        "peak memory (GB)": f"{used.ru_maxrss * 1024 / 1e9:.2f}",
    }


def tabulate(volumes: dict[str, Any], run: dict[str, str]) -> list[dict[str, Any]]:
    """Return a row for each volume of ``qha_volumes.yaml``."""
    return [
        {
            "volume (A^3)": f"{point['volume']:.3f}",
            "lowest frequency (THz)": f"{point['lowest_frequency']:.4f}",
            "imaginary modes": point["imaginary_modes"],
            "mesh modes left out (%)": f"{100 * point['share_of_mesh_modes_left_out']:.2g}",
            "unstable long waves": point["unstable_long_waves"],
            "unstable strains": point["unstable_strains"],
            "used": point["used"],
            **run,
        }
        for point in volumes["volumes"]
    ]


def main() -> None:
    """Run and write the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        run = measure(folder)
        rows = tabulate(yaml.safe_load((folder / "qha_volumes.yaml").read_text(encoding="utf-8")), run)
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()

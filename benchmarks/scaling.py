"""What the screening of QMOF would take on 100 GPUs, from what was measured; writes ``../docs/results/scaling.csv``.

    python benchmarks/scaling.py

Evaluations of a structure are those of the real run (``docs/results/screening-mini.csv``), seconds of one those of a
GPU (``results/gpu.csv``), and what tasks cost besides is from ``results/screening.csv``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rows import RESULTS, write_rows

DOCS = Path(__file__).parents[1] / "docs/results"

TABLE = DOCS / "scaling.csv"

STRUCTURES, GPUS, STEPS = 20375, 100, 3


@dataclass(frozen=True)
class Quantity:
    """A line of the arithmetic.

    Attributes
    ----------
    symbol, meaning : str
    value : float
    unit : str
    origin : str
        The formula in symbols of lines above, or the file that it is from.
    """

    symbol: str
    meaning: str
    value: float
    unit: str
    origin: str


def main() -> None:
    """Compute, and write the table."""
    quantities = list(extrapolate(_read(DOCS / "screening-mini.csv"), _read(RESULTS / "gpu.csv"), _read_overheads()))
    for each in quantities:
        print(f"{each.symbol:4} {each.meaning:60} {each.value:10.4g} {each.unit:8} {each.origin}")
    write_rows(TABLE, map(asdict, quantities), digits=3)


def extrapolate(
    run: list[dict[str, str]], gpu: list[dict[str, str]], overheads: Mapping[str, float]
) -> Iterator[Quantity]:
    """Yield the lines of the arithmetic.

    Parameters
    ----------
    run : list of dict
        Rows of the real run.
    gpu : list of dict
        Rows of the force constants on a GPU.
    overheads : mapping of str to float
        Seconds that a task takes from its worker besides its own, and of the driver's processor.
    """
    done = [row for row in run if row["state"] == "done"]
    stock, engine = gpu
    force = float(stock["evaluations alone (s)"]) / int(stock["evaluations"])
    direction = float(engine["evaluations alone (s)"]) / int(engine["evaluations"])
    steps, directions = _mean(done, "relax_steps"), _mean(done, "evaluations")
    ratio = _mean(done, "stabilise_seconds") / _mean(done, "phonons_seconds")
    besides = _fit_besides(done)
    of_run, of_gpu, of_tasks = "screening-mini.csv", "gpu.csv", "screening.csv"
    yield Quantity("N", "structures of QMOF", STRUCTURES, "", "given")
    yield Quantity("G", "GPUs", GPUS, "", "given")
    yield Quantity("k", "tasks of a structure: relax, stabilise, phonons", STEPS, "", "given")
    yield Quantity("n", "atoms of a structure, mean", _mean(done, "natoms"), "", of_run)
    yield Quantity("m", "steps of a relaxation, mean", steps, "", of_run)
    yield Quantity("d", "directions of linear response for its phonons, mean", directions, "", of_run)
    yield Quantity("q", "seconds of stabilise over those of phonons", ratio, "", of_run)
    yield Quantity("p", "of phonons besides evaluations: phonopy, checks, files", besides, "s", of_run)
    yield Quantity("f", "a force call on 848 atoms, on a GPU", force, "s", of_gpu)
    yield Quantity("r", "a direction of linear response, on a GPU", direction, "s", of_gpu)
    yield Quantity("w", "of a worker, for each task besides it", overheads["worker"], "s", of_tasks)
    yield Quantity("c", "of the driver's processor, for each task", overheads["driver"], "s", of_tasks)
    structure = steps * force + (1 + ratio) * (directions * direction + besides) + STEPS * overheads["worker"]
    yield Quantity("t", "a structure, on a GPU, one at a time", structure, "s", "m f + (1 + q) (d r + p) + k w")
    yield Quantity("H", "all, hours of a GPU", STRUCTURES * structure / 3600, "h", "N t / 3600")
    yield Quantity("T", "all, on 100 GPUs", STRUCTURES * structure / 3600 / GPUS, "h", "H / G")
    driver = STRUCTURES * STEPS * overheads["driver"] / 3600
    yield Quantity("D", "of it, the driver's processor", driver, "h", "N k c / 3600")
    cores = sum(float(row[f"{step}_seconds"]) for row in run for step in _done_steps(row)) / len(run)
    yield Quantity("s", "a structure, with `mini` on one core", cores, "s", of_run)
    yield Quantity("C", "all, with `mini`, hours of a core", STRUCTURES * cores / 3600, "h", "N s / 3600")
    matrices = 2 * sum(72 * int(row["natoms"]) ** 2 for row in done) / len(done)
    yield Quantity("b", "force constants of a structure, 2 x 9 x 8 n^2 bytes, mean", matrices / 1e6, "MB", of_run)
    yield Quantity("B", "force constants of all", STRUCTURES * matrices / 1e9, "GB", "N b / 1000")


def _done_steps(row: Mapping[str, str]) -> list[str]:
    return [step for step in ("relax", "stabilise", "phonons") if row[f"{step}_seconds"]]


def _fit_besides(rows: list[dict[str, str]]) -> float:
    """Return the seconds of phonons that do not grow with evaluations times atoms, by least squares."""
    work = [int(row["evaluations"]) * int(row["natoms"]) for row in rows]
    return float(np.polyfit(work, [float(row["phonons_seconds"]) for row in rows], 1)[1])


def _mean(rows: list[dict[str, str]], name: str) -> float:
    return sum(float(row[name]) for row in rows) / len(rows)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read_overheads() -> dict[str, float]:
    """Return what a task more takes, from two screenings of different length."""
    less, more = (row for row in _read(RESULTS / "screening.csv") if row["measured"] == "overhead")
    tasks = int(more["structures"]) - int(less["structures"])
    besides = [float(row["wall_s"]) - float(row["tasks_s"]) for row in (less, more)]
    used = [float(row["driver_cpu_s"]) for row in (less, more)]
    return {"worker": (besides[1] - besides[0]) / tasks, "driver": (used[1] - used[0]) / tasks}


if __name__ == "__main__":
    main()

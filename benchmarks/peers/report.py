"""Ratios of runs, and the files and the table that show them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .runs import Run

_COLUMNS = ("task", "peer", "number", "seconds", "cpu_seconds", "peak_bytes", "load", "threads", "model")
_GB = 1e9


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of a figure."""

    least: float
    median: float
    most: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """A program against ours, or one task of ours against another.

    Attributes
    ----------
    task, peer : str
        What is compared,
    against : str
        and with what.
    time : Spread
        Ratio of wall-clock times: of the medians, and the least and the most that the single runs allow.
    memory : float
        Ratio of the largest peaks.
    """

    task: str
    peer: str
    against: str
    time: Spread
    memory: float


def spread(values: Iterable[float]) -> Spread:
    """Return minimum, median and maximum."""
    values = list(values)
    return Spread(min(values), median(values), max(values))


def ratio_of(times: Spread, base: Spread) -> Spread:
    """Return the ratio of two spreads."""
    return Spread(times.least / base.most, times.median / base.median, times.most / base.least)


def compute_ratios(runs: Sequence[Run], base_task: str, grown_task: str) -> list[Ratio]:
    """Return the ratio of each program to ours, and of our run of `grown_task` to that of `base_task`."""
    groups = group(runs)
    pairs = [((task, peer), (task, "ours")) for task, peer in groups if peer != "ours"]
    pairs.append(((grown_task, "ours"), (base_task, "ours")))
    return [
        Ratio(
            task=first[0],
            peer=first[1],
            against="ours" if first[0] == second[0] else second[0],
            time=ratio_of(_seconds(groups[first]), _seconds(groups[second])),
            memory=_peak(groups[first]) / _peak(groups[second]),
        )
        for first, second in pairs
        if first in groups and second in groups
    ]


def group(runs: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    """Return runs by task and program."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.task, run.peer), []).append(run)
    return groups


def format_table(runs: Sequence[Run], ratios: Sequence[Ratio], titles: Mapping[str, str]) -> str:
    """Return a table of times, memory and ratios in Markdown."""
    by_key = {(ratio.task, ratio.peer): ratio for ratio in ratios}
    lines = [
        "| task | program | runs | wall s, median (min to max) | CPU s, median | peak GB "
        "| time ratio (min to max) | memory ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (task, peer), found in group(runs).items():
        wall, cpu = _seconds(found), median(run.usage.cpu_seconds for run in found)
        times = f"{wall.median:.4g} ({wall.least:.4g} to {wall.most:.4g})"
        lines.append(
            f"| {titles[task]} | {peer} | {len(found)} | {times} | {cpu:.4g} | {_peak(found) / _GB:.2f} "
            f"| {_describe(by_key.get((task, peer)))} |"
        )
    return "\n".join(lines)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write all there is to know, as JSON."""
    path.write_text(json.dumps(data, indent=1, default=asdict) + "\n", encoding="utf-8")


def write_csv(path: Path, runs: Iterable[Run]) -> None:
    """Write one line for each run."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for run in runs:
            writer.writerow({**asdict(run), **asdict(run.usage), **run.identity})


def _seconds(runs: Iterable[Run]) -> Spread:
    return spread(run.usage.seconds for run in runs)


def _peak(runs: Iterable[Run]) -> int:
    return max(run.usage.peak_bytes for run in runs)


def _describe(ratio: Ratio | None) -> str:
    if ratio is None:
        return "1 | 1"
    note = "" if ratio.against == "ours" else f" of {ratio.against}"
    time = ratio.time
    return f"{time.median:.3g} ({time.least:.3g} to {time.most:.3g}){note} | {ratio.memory:.3g}"

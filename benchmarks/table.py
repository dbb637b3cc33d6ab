"""Rewrite pytest-benchmark's JSON file as a short table, without what it says of the machine's name.

    python benchmarks/table.py build/benchmarks.json build/engine.csv

Seconds; the parts of one evaluation, which are means, have nothing but a median. Prints what the issue says of
symmetrix where it is not built, since nothing of it is in the table then.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from symmetrix_quoted import quote_symmetrix


def main() -> None:
    """Write the table."""
    source, target = map(Path, sys.argv[1:3])
    rows = []
    for benchmark in json.loads(source.read_text(encoding="utf-8"))["benchmarks"]:
        stats, name = benchmark["stats"], benchmark["name"].removeprefix("test_")
        rows.append(
            [benchmark["group"], name, *(f"{stats[key]:.5f}" for key in ("min", "median", "max")), stats["rounds"]]
        )
        rows += [
            [benchmark["group"], f"{name}: {part}", "", f"{s:.5f}", "", ""]
            for part, s in benchmark["extra_info"].items()
        ]
    print(quote_symmetrix())
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["group", "name", "min", "median", "max", "rounds"], *rows])


if __name__ == "__main__":
    main()

"""Rewrite pytest-benchmark's JSON file as a short table, without what it says of the machine's name.

    python benchmarks/table.py build/benchmarks.json build/engine.csv

Seconds; the parts of one evaluation, which are means, have nothing but a median. Prints what was measured
of symmetrix elsewhere where it is not built, since nothing of it is in the table then.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rows import write_rows
from symmetrix_quoted import quote_symmetrix


def main() -> None:
    """Write the table."""
    source, target = map(Path, sys.argv[1:3])
    rows = []
    for benchmark in json.loads(source.read_text(encoding="utf-8"))["benchmarks"]:
        stats, name = benchmark["stats"], benchmark["name"].removeprefix("test_")
        seconds = {key: f"{stats[key]:.5f}" for key in ("min", "median", "max")}
        rows.append({"group": benchmark["group"], "name": name, **seconds, "rounds": stats["rounds"]})
        rows += [
            {"group": benchmark["group"], "name": f"{name}: {part}", "median": f"{s:.5f}"}
            for part, s in benchmark["extra_info"].items()
        ]
    print(quote_symmetrix())
    write_rows(target, rows)


if __name__ == "__main__":
    main()

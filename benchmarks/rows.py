"""Tables of results as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], digits: int = 6) -> None:
    """Write rows with the columns of all of them, floats to a number of significant digits."""
    listed = list(rows)
    columns = dict.fromkeys(column for row in listed for column in row)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: f"{value:.{digits}g}" if isinstance(value, float) else value for key, value in row.items()}
            for row in listed
        )

"""Screens every published MOF whose elements `mini` has; writes ``../docs/results/screening-mini.csv``.

    python benchmarks/published.py REFERENCE FOLDER

REFERENCE has the CIFs (``cifs/cifs.zip``), FOLDER keeps the screening, which goes on where it was interrupted. Most of
these crystals have chemistry that the model never saw: each must be done, or end with an error that says why.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase.db import connect
from ase.db.row import AtomsRow
from rows import write_rows

DOCS = Path(__file__).parents[1] / "docs/results"

TABLE = DOCS / "screening-mini.csv"

COMMAND = (
    *("--mlp", "mini", "--steps", "relax,stabilise,phonons", "--workers", "2", "--time-limit", "600"),
    *("--set", "stabilise", "--dim 1 1 1 --stabilise-rounds 3"),
    *("--set", "phonons", "--dim 1 1 1 --mesh 5 5 5"),
)

KEYS = (
    *("state", "failed_step", "error", "group_given", "group_relaxed", "relax_steps", "volume_change"),
    *("residual_force", "accepted_steps", "stable", "imaginary_modes", "lowest_frequency"),
    *("evaluations", "phonon_imaginary_modes", "phonon_lowest_frequency", "doubtful", "domain"),
    *("relax_seconds", "stabilise_seconds", "phonons_seconds"),
)


def main() -> None:
    """Screen what is not done yet, and write the table."""
    reference, folder = map(Path, sys.argv[1:])
    cifs, database = folder / "cifs", folder / "screening.db"
    if not cifs.is_dir():
        cifs.mkdir(parents=True)
        with zipfile.ZipFile(reference / "cifs/cifs.zip") as archive:
            for name in find_known():
                (cifs / f"{name.replace('/', '-')}.cif").write_bytes(archive.read(f"{name}.cif"))
    words = [sys.executable, "-m", "phonopy_mlp", "screen", cifs, *COMMAND, "--db", database]
    # 1 says that some failed, which the table tells.
    if (status := subprocess.run(words, check=False).returncode) not in (0, 1):
        sys.exit(status)
    write_rows(TABLE, sorted(map(describe, connect(database).select()), key=lambda row: row["name"]), digits=4)


def describe(row: AtomsRow) -> dict[str, Any]:
    """Return the row of the table for a row of the database."""
    size = {"name": row.name, "formula": row.formula, "natoms": row.natoms}
    return {**size, **{key: row.get(key, "") for key in KEYS}}


def find_known() -> Iterator[str]:
    """Yield the names of the frameworks whose elements the model has."""
    with (DOCS / "curated-mini.csv").open(newline="", encoding="utf-8") as file:
        yield from (row["name"] for row in csv.DictReader(file) if not row["dropped"])


if __name__ == "__main__":
    main()

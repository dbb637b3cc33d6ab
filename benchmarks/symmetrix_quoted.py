"""What symmetrix, which is on no package index, was measured to take, for where it is not built."""

from __future__ import annotations

from importlib.util import find_spec

SOURCE = (
    "symmetrix is not built here. Quoted, not measured here, from an earlier measurement on another machine: one "
    "thread, float64, MOF-5, a model of the size of MACE-MP-0b (medium) whose first block symmetrix can read; seconds "
    "per evaluation of energy and forces, and ratio to stock mace."
)

ROWS = (
    ("stock mace", "1.91", "23.2", "5.7 GB"),
    (
        "stock, allocator kept from returning pages (`MALLOC_MMAP_MAX_=0`, large trim threshold)",
        "1.37 (1.4x)",
        "10.7 (2.2x)",
        "8.3 GB",
    ),
    ("torch.compile (100 s to compile)", "0.97 (2.0x)", "", ""),
    ("folding prototype", "0.79 to 1.01 (1.9 to 2.4x)", "14.4 (1.6x)", "5.2 GB"),
    ("folding prototype, same allocator setting", "0.61 (3.1x)", "4.7 (4.9x)", "7.3 GB"),
    ("symmetrix", "0.18 (11x)", "1.41 (16x)", "3.0 GB"),
    ("symmetrix, Kokkos serial, atomics bypassed", "0.16 (12x)", "1.22 (19x)", "2.5 GB"),
)


def quote_symmetrix() -> str:
    """Return the table in Markdown with its source, or nothing where symmetrix can be imported."""
    if find_spec("symmetrix") is not None:
        return ""
    header = ("", "106 atoms", "848 atoms", "peak memory, 848 atoms")
    lines = [" | ".join(row) for row in (header, ("---",) * 4, *ROWS)]
    return "\n".join([SOURCE, "", *(f"| {line} |" for line in lines)])

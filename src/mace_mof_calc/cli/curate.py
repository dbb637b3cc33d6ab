"""Command ``curate``: from a folder of CIFs to a set of frameworks that differ."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from ..training.curate.limits import Limits


def add_parser(commands: Any) -> None:
    """Add the parser of this command."""
    usual = Limits()
    curate = commands.add_parser("curate", help="choose frameworks that differ from a folder of CIFs")
    curate.add_argument("folder", type=Path, metavar="FOLDER", help="CIFs, in folders within as well")
    curate.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the chosen ones, extxyz")
    curate.add_argument(
        "--model", required=True, metavar="NAME", help="model whose descriptors tell frameworks apart, or model file"
    )
    curate.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    curate.add_argument("--count", type=int, default=20, metavar="N", help="how many to choose (default: %(default)s)")
    curate.add_argument(
        "--elements", nargs="+", metavar="EL", help="elements that they may hold (default: all that the model knows)"
    )
    curate.add_argument(
        "--max-atoms",
        type=int,
        default=usual.max_atoms,
        metavar="N",
        help=f"in the primitive cell at most (default: {usual.max_atoms})",
    )
    curate.add_argument(
        "--pore",
        type=float,
        default=usual.pore,
        metavar="A",
        help=f"smallest pore limiting diameter (default: {usual.pore:g} A, nitrogen)",
    )
    curate.set_defaults(command=_curate)


def _curate(arguments: argparse.Namespace) -> int:
    from ..devices import resolve_device
    from ..models.loading import load
    from ..training.curate.curation import run_curation
    from .progress import show

    elements = tuple(sorted(set(arguments.elements))) if arguments.elements else None
    limits = Limits(elements, arguments.max_atoms, arguments.pore)
    model = load(arguments.model, device=resolve_device(arguments.device))
    done = run_curation(arguments.folder, arguments.output, model, arguments.count, limits, track=show)
    if not done.rows:
        print(
            f"{arguments.output} is finished: {done.manifest.frames} structures, {len(done.manifest.dropped)} dropped"
        )
        return 0
    dropped = Counter(row.dropped.partition(":")[0] for row in done.rows if row.dropped)
    for reason, number in dropped.most_common():
        print(f"dropped {number} for: {reason}")
    for row in done.rows:
        if row.bonded_like:
            print(f"kept {row.name}, though bonded like {row.bonded_like}: another geometry or polymorph")
    left = sum(not row.dropped for row in done.rows)
    print(f"{arguments.output}: {done.manifest.frames} chosen of {left} that are left of {len(done.rows)}")
    print(f"{arguments.output.with_suffix('.csv')}: what became of each; {arguments.output.with_suffix('.png')}: plots")
    return 0

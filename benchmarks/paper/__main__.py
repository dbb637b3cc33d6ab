"""``python -m paper``: the paper's tables and figures with a model, published values beside.

make paper                                   # the embedded model and GFN1-xTB, four frameworks, into docs/paper
make paper OPTIONS="--model mof0 --out mof0" # the published model, where its weights are
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from paper import bands, cells, expansion, frequencies, labels, moduli, positions, speed
from paper.gfn1 import Reference
from paper.published import Published
from paper.study import Study

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = {
    "cells": cells,
    "labels": labels,
    "frequencies": frequencies,
    "expansion": expansion,
    "positions": positions,
    "bands": bands,
    "moduli": moduli,
    "speed": speed,
}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="paper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="registered name or model file (default: mini)")
    parser.add_argument(
        "--structures", type=Path, nargs="+", help="structure files, named as the frameworks (default: four)"
    )
    parser.add_argument("--only", choices=DRIVERS, action="append", help="one driver; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small meshes and supercells, to see that all runs")
    parser.add_argument("--published", type=Path, default=ROOT.parent / "shared" / "reference", help="reference data")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "paper", help="folder of the runs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "paper", help="folder of tables and figures")
    return parser.parse_args()


def main() -> None:
    """Run the drivers."""
    options = parse()
    shipped = ROOT / "src" / "mace_mof_calc" / "data" / "structures"
    files = options.structures or [shipped / f"{name}.cif" for name in ("MOF-5", "UiO-66", "MOF-74", "MIL-53")]
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    study = Study(
        model=options.model,
        frameworks={path.stem: path.resolve() for path in files},
        work=options.work.resolve(),
        out=options.out.resolve(),
        published=Published(options.published.resolve() if options.published.is_dir() else None),
        reference=Reference(options.work.resolve() / "gfn1"),
        quick=options.quick,
    )
    for name in options.only or DRIVERS:
        started = time.perf_counter()
        DRIVERS[name].run(study)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    for (framework, command), reason in study.failures.items():
        print(f"{framework}, {command}: {reason}")
    rows = [{"framework": f, "command": c, "reason": reason} for (f, c), reason in study.failures.items()]
    study.write_table("failures", rows or [{"framework": "", "command": "", "reason": "none"}])


if __name__ == "__main__":
    main()

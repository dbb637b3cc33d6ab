"""Rebuild the embedded model ``mini`` from nothing.

``python training/mini/build.py --work DIR`` relaxes the frameworks, labels configurations with GFN1-xTB, trains,
evaluates and packs. Stop it at any time and start it again: nothing finished is done twice. The labels lie beside this
file; ``--relabel`` makes them anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from crystals import FRAMEWORKS

# Before torch is loaded: keep freed memory, and back it with large pages; page faults cost up to half of the time
# otherwise.
MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "500000000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

ROOT = Path(__file__).resolve().parents[2]
STRUCTURES = ROOT / "src" / "mace_mof_calc" / "data" / "structures"
MODELS = ROOT / "src" / "mace_mof_calc" / "data" / "models"
STEPS = ("minima", "labels", "train", "evaluate", "pack")
RELABELLED = "relabelled"  # file in a work folder whose labels are made anew


if __name__ == "__mp_main__":  # a worker of the training, which imports the rest without coming through main()
    from mace_mof_calc.backend import import_mace

    import_mace()


def restart_with(environment: Mapping[str, str], threads: int) -> None:
    """Start this program again with the environment that it needs, unless it has it."""
    wanted = {**environment, "OMP_NUM_THREADS": str(threads)}
    if any(os.environ.get(k) != v for k, v in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "mini", help="folder for labels, checkpoints and logs"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of tblite (default 1)")
    parser.add_argument("--workers", type=int, default=1, choices=(1, 2), help="processes that train (default 1)")
    parser.add_argument("--device", default="cpu", help="where to train: cpu (default), or cuda, in one process")
    parser.add_argument("--only", choices=STEPS, action="append", help="do only this step; may be repeated")
    parser.add_argument("--relabel", action="store_true", help="label anew, and replace the labels that lie here")
    parser.add_argument(
        "--frameworks",
        nargs="+",
        choices=list(FRAMEWORKS),
        help="do no more than label these (two processes may share the labelling)",
    )
    options = parser.parse_args()
    if options.device != "cpu":
        _check_device(options, parser)
    if options.relabel and (options.work / "labels").exists() and not (options.work / RELABELLED).exists():
        parser.error(f"{options.work} holds the labels that lie here already: give another folder with --work")
    return options


def _check_device(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from mace_mof_calc.devices import resolve_device
    from mace_mof_calc.errors import DeviceError

    try:
        resolve_device(options.device)
    except DeviceError as error:
        parser.error(str(error))
    if options.workers > 1:
        parser.error(f"--workers {options.workers} is for CPUs: one process trains on {options.device}")


def main() -> None:
    """Do all steps, in order."""
    options = parse()
    restart_with(MEMORY, options.threads)
    warnings.filterwarnings("ignore")
    import torch

    from mace_mof_calc.backend import import_mace

    torch.set_num_threads(options.threads)
    import_mace()
    import archive
    import domain
    import evaluate
    import minima
    import pack
    import sample
    import train
    from hessian import reference_modes

    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    if options.relabel:
        (work / RELABELLED).touch()
    elif archive.restore(work):
        print(f"labels: taken from {archive.ARCHIVE.name}", flush=True)
    steps = options.only or list(STEPS)
    chosen = options.frameworks or list(FRAMEWORKS)
    for name in chosen:
        if "minima" in steps:
            print(f"{name}: minimum", flush=True)
            atoms = minima.find_minimum(FRAMEWORKS[name], work)
            minima.write_cif(atoms, name, STRUCTURES / f"{name}.cif")
        if "labels" in steps:
            print(f"{name}: Hessian and configurations", flush=True)
            sample.label_framework(FRAMEWORKS[name], reference_modes(FRAMEWORKS[name], work), work)
    if options.frameworks:
        return
    if options.relabel and "labels" in steps:
        archive.store(work)
    finished = None
    for stage in train.STAGES:
        finished_path = work / "models" / f"{stage.name}.pt"
        if "train" in steps:
            print(f"training, stage {stage.name}: progress in {work / 'train.log'}", flush=True)
            finished = train.train(stage, finished, work, work / "train.log", options.workers, options.device)
        elif finished_path.exists():
            finished = finished_path
    if finished is None:
        return
    digest = hashlib.sha256(finished.read_bytes()).hexdigest()
    results = work / "evaluation" / f"{finished.stem}-{digest[:8]}"
    if "evaluate" in steps and not (results / "acceptance.json").exists():
        print("evaluation", flush=True)
        evaluate.evaluate(finished, work, results)
    if (results / "acceptance.json").exists():
        print(evaluate.format_rows(evaluate.read_rows(results / "acceptance.json")))
        if "pack" in steps:
            rows = json.loads((results / "acceptance.json").read_text(encoding="utf-8"))["rows"]
            packed = pack.pack(finished, rows, train.STAGES[-1].weights, MODELS / "mini")
            print(f"packed: {packed}")
            domain.make(work, packed)


if __name__ == "__main__":
    main()

"""Command ``label``: energies, forces and stresses of frames."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError

if TYPE_CHECKING:
    from ase import Atoms

    from ..training.job import Manifest

_SOME_FAILED = 1
_SHOWN = 20


def add_parser(commands: Any) -> None:
    """Add the parser of this command."""
    label = commands.add_parser("label", help="compute energies, forces and stresses of frames")
    label.add_argument("frames", nargs="+", type=Path, metavar="FILE", help="frames: extxyz, or another format of ASE")
    label.add_argument("-o", "--output", type=Path, metavar="FILE", help="labelled frames (.extxyz)")
    source = label.add_mutually_exclusive_group(required=True)
    source.add_argument("--calculator", metavar="NAME", help="name of a calculator, such as gfn1-xtb, or model file")
    source.add_argument("--write-vasp", type=Path, metavar="DIR", help="write inputs of VASP, a folder for each frame")
    source.add_argument("--read-vasp", type=Path, metavar="DIR", help="take labels from what VASP made of these inputs")
    label.add_argument("--isolated-atoms", action="store_true", help="also each element alone, to train from scratch")
    label.add_argument(
        "--hessians", action="store_true", help="also the Hessian of each frame, for --hessians of mace-mof finetune"
    )
    label.add_argument("--workers", type=int, default=1, metavar="N", help="parallel processes (default: 1)")
    label.add_argument(
        "--timeout", type=float, default=3600.0, metavar="SECONDS", help="longest time for a frame (default: 3600)"
    )
    label.add_argument("--retry-failed", action="store_true", help="try again the frames that failed before")
    label.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    label.add_argument("--dtype", default="float64", choices=("float64", "float32"), help="(default: float64)")
    label.add_argument(
        "--kpoints-density",
        type=float,
        default=3.5,
        metavar="N",
        help="of VASP: k-points per 1/Angstrom (default: 3.5)",
    )
    label.set_defaults(command=_label)


def _label(arguments: argparse.Namespace) -> int:
    from ..training.label.isolated import make_isolated_atoms
    from ..training.label.naming import read_named_frames

    if arguments.hessians and (arguments.calculator is None or arguments.isolated_atoms):
        raise TrainingError("--hessians is for minima that a calculator labels", "", "Leave it, or what else, out")
    frames = read_named_frames(arguments.frames)
    if arguments.isolated_atoms:
        frames += make_isolated_atoms(frames)
    if arguments.write_vasp:
        return _write_vasp(arguments, frames)
    if arguments.output is None:
        raise TrainingError("No output was named", "", "Name it with -o FILE.extxyz")
    manifest = _read_vasp(arguments, frames) if arguments.read_vasp else _calculate(arguments, frames)
    return _report(arguments.output, manifest)


def _calculate(arguments: argparse.Namespace, frames: list[Atoms]) -> Manifest:
    from ..training.calculators import is_model_file
    from ..training.job import Job
    from ..training.label.hessians import label_hessians
    from ..training.label.parallel import find_warnings, label_frames
    from ..training.label.run import run_label
    from .progress import show

    name = arguments.calculator
    files = [Path(name)] if is_model_file(name) else []
    settings = {"calculator": name, "dtype": arguments.dtype, "isolated_atoms": arguments.isolated_atoms}
    if arguments.hessians:
        settings["hessians"] = True
    job = Job(arguments.output, "label", [*arguments.frames, *files], settings)
    warnings = find_warnings(frames, name)
    for each in warnings:
        print(f"mace-mof: warning: {each}", file=sys.stderr)
    work = partial(
        label_frames,
        calculator=name,
        device=arguments.device,
        dtype=arguments.dtype,
        workers=arguments.workers,
        timeout=arguments.timeout,
        track=show,
    )
    if arguments.hessians:
        work = partial(label_hessians, job=job, work=work)
    return run_label(job, frames, work, retry_failed=arguments.retry_failed, warnings=warnings)


def _write_vasp(arguments: argparse.Namespace, frames: list[Atoms]) -> int:
    from ..training.label.vasp_inputs import write_inputs
    from .progress import show

    folders, have_potentials = write_inputs(frames, arguments.write_vasp, arguments.kpoints_density, track=show)
    print(f"{arguments.write_vasp}: inputs of {len(folders)} frames")
    if not have_potentials:
        print(
            "  Without potentials, which are licensed. Set VASP_PP_PATH to the folder that potpaw_PBE.54 lies in and "
            "run this again, or join those that each POTCAR.spec lists, in its order, into a POTCAR"
        )
    return 0


def _read_vasp(arguments: argparse.Namespace, frames: list[Atoms]) -> Manifest:
    from ..training.job import Job
    from ..training.label.run import run_label
    from ..training.label.vasp_inputs import INCAR
    from ..training.label.vasp_outputs import find_outputs, read_labels
    from .progress import show

    settings = {
        "calculator": "vasp",
        "incar": dict(INCAR),
        "kpoints_density": arguments.kpoints_density,
        "isolated_atoms": arguments.isolated_atoms,
    }
    outputs = find_outputs(frames, arguments.read_vasp)
    job = Job(arguments.output, "label", [*arguments.frames, *outputs], settings)
    work = partial(read_labels, folder=arguments.read_vasp, density=arguments.kpoints_density, track=show)
    return run_label(job, frames, work, retry_failed=arguments.retry_failed)


def _report(output: Path, manifest: Manifest) -> int:
    print(f"{output}: {manifest.frames} frames labelled, {len(manifest.dropped)} failed")
    for each in manifest.dropped[:_SHOWN]:
        print(f"  {each.name}: {each.reason}")
    if len(manifest.dropped) > _SHOWN:
        print(f"  ... and others, listed in {output.with_suffix('.manifest.json')}")
    return _SOME_FAILED if manifest.dropped else 0

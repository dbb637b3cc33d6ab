"""Command ``label``: energies, forces and stresses of frames."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError
from ..training.defaults import DENSITY, DEVICE, DTYPE, TIMEOUT, WORKERS

if TYPE_CHECKING:
    from ase import Atoms

    from ..training.manifest import Manifest

_SOME_FAILED = 1
_SHOWN = 20

#: Where labels come from, and the options that each has of its own; they are None where they are not given.
_SOURCES = {
    "calculator": ("output", "hessians", "workers", "timeout", "retry_failed", "device", "dtype"),
    "write_vasp": ("kpoints_density",),
    "read_vasp": ("output", "kpoints_density"),
}


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
        "--hessians",
        action="store_true",
        default=None,
        help="also the Hessian of each frame, for --hessians of mace-mof finetune",
    )
    label.add_argument("--workers", type=int, metavar="N", help=f"parallel processes (default: {WORKERS})")
    label.add_argument(
        "--timeout", type=float, metavar="SECONDS", help=f"longest time for a frame (default: {TIMEOUT:g})"
    )
    label.add_argument(
        "--retry-failed", action="store_true", default=None, help="try again the frames that failed before"
    )
    label.add_argument("--device", help=f"auto, cpu, cuda or cuda:1 (default: {DEVICE})")
    label.add_argument("--dtype", choices=("float64", "float32"), help=f"(default: {DTYPE})")
    label.add_argument(
        "--kpoints-density", type=float, metavar="N", help=f"of VASP: k-points per 1/Angstrom (default: {DENSITY:g})"
    )
    label.set_defaults(command=_label)


def _label(arguments: argparse.Namespace) -> int:
    from ..training.label.isolated import make_isolated_atoms
    from ..training.label.naming import check_names, read_named_frames

    given = _find_given(arguments)
    frames = read_named_frames(arguments.frames)
    if arguments.isolated_atoms:
        frames += make_isolated_atoms(frames)
        check_names(frames)
    if arguments.write_vasp is not None:
        return _write_vasp(arguments.write_vasp, frames, given.get("kpoints_density", DENSITY))
    output = given.pop("output", None)
    if output is None:
        raise TrainingError("No output was named", "", "Name it with -o FILE.extxyz")
    manifest = (_calculate if arguments.read_vasp is None else _read_vasp)(arguments, frames, output, **given)
    return _report(output, manifest)


def _find_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the chosen source that were given, where no others were."""
    source = next(name for name in _SOURCES if getattr(arguments, name) is not None)
    options = {name for own in _SOURCES.values() for name in own}
    given = {name: value for name in sorted(options) if (value := getattr(arguments, name)) is not None}
    for name in given:
        if name not in _SOURCES[source]:
            raise TrainingError(
                f"{_spell(name)} was given with {_spell(source)}", "It has no use there", "Leave it out"
            )
    return given


def _spell(name: str) -> str:
    return "--" + name.replace("_", "-")


def _calculate(
    arguments: argparse.Namespace,
    frames: list[Atoms],
    output: Path,
    *,
    dtype: str = DTYPE,
    hessians: bool = False,
    retry_failed: bool = False,
    **how: Any,
) -> Manifest:
    from ..training.calculators import get_digest, make_calculator
    from ..training.job import Job
    from ..training.label.hessians import label_hessians
    from ..training.label.parallel import find_warnings, label_frames
    from ..training.label.run import run_label
    from .progress import show

    name = arguments.calculator
    settings = {
        "calculator": name,
        "digest": get_digest(make_calculator(name, device="cpu", dtype=dtype)),  # the device is the workers'
        "dtype": dtype,
        "isolated_atoms": arguments.isolated_atoms,
    }
    if hessians:
        settings["hessians"] = True
        if arguments.isolated_atoms:
            raise TrainingError(
                "Hessians of isolated atoms were asked for", "They are zero", "Label these on their own"
            )
    job = Job(output, "label", arguments.frames, settings)
    warnings = find_warnings(frames, name)
    for each in warnings:
        print(f"mace-mof: warning: {each}", file=sys.stderr)
    work = partial(label_frames, calculator=name, dtype=dtype, track=show, **how)
    if hessians:
        work = partial(label_hessians, job=job, work=work)
    return run_label(job, frames, work, retry_failed=retry_failed, warnings=warnings)


def _write_vasp(folder: Path, frames: list[Atoms], density: float) -> int:
    from ..training.label.vasp_inputs import write_inputs
    from .progress import show

    folders, have_potentials = write_inputs(frames, folder, density, track=show)
    print(f"{folder}: inputs of {len(folders)} frames")
    if not have_potentials:
        print(
            "  Without potentials, which are licensed. Set VASP_PP_PATH to the folder that potpaw_PBE.54 lies in and "
            "run this again, or join those that each POTCAR.spec lists, in its order, into a POTCAR"
        )
    return 0


def _read_vasp(
    arguments: argparse.Namespace, frames: list[Atoms], output: Path, *, kpoints_density: float = DENSITY
) -> Manifest:
    from ..training.job import Job
    from ..training.label.run import run_label
    from ..training.label.vasp_inputs import INCAR
    from ..training.label.vasp_outputs import find_outputs, read_labels
    from .progress import show

    settings = {
        "calculator": "vasp",
        "incar": dict(INCAR),
        "kpoints_density": kpoints_density,
        "isolated_atoms": arguments.isolated_atoms,
    }
    folder = arguments.read_vasp
    job = Job(output, "label", [*arguments.frames, *find_outputs(frames, folder)], settings)
    return run_label(job, frames, partial(read_labels, folder=folder, density=kpoints_density, track=show))


def _report(output: Path, manifest: Manifest) -> int:
    print(f"{output}: {manifest.frames} frames labelled, {len(manifest.dropped)} failed")
    for each in manifest.dropped[:_SHOWN]:
        print(f"  {each.name}: {each.reason}")
    if len(manifest.dropped) > _SHOWN:
        print(f"  ... and others, listed in {output.with_suffix('.manifest.json')}")
    return _SOME_FAILED if manifest.dropped else 0

"""Command ``sample``: from crystals to configurations that are worth labelling."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..training.defaults import DEVICE, DTYPE
from ..training.sample.settings import KINDS, Limits, Settings

if TYPE_CHECKING:
    from ase.calculators.calculator import BaseCalculator

    from ..models.loading import LoadedModel
    from ..training.manifest import Manifest


def add_parser(commands: Any) -> None:
    """Add the parser of this command."""
    parser = commands.add_parser("sample", help="make configurations of crystals, to be labelled")
    parser.set_defaults(command=_sample)
    usual, limits = Settings(), Limits()
    parser.add_argument("crystals", type=Path, metavar="FILE", help="crystals: extxyz, or another format of ASE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="extxyz file to write")
    parser.add_argument("--calculator", required=True, metavar="NAME", help="name of a calculator, or model file")
    parser.add_argument("--device", default=DEVICE, help=f"auto, cpu, cuda or cuda:1 (default: {DEVICE})")
    parser.add_argument("--dtype", default=DTYPE, choices=("float64", "float32"), help=f"(default: {DTYPE})")
    parser.add_argument(
        "--descriptor-model",
        metavar="NAME",
        help="model by whose descriptors frames are chosen (default: the calculator's own, distances of atoms without)",
    )
    own, temperatures = ", ".join(usual.kinds), ",".join(f"{each:g}" for each in usual.temperatures)
    parser.add_argument(
        "--kind",
        type=_split_words,
        default=usual.kinds,
        metavar="KIND,...",
        help=f"some of {', '.join(KINDS)} (default: {own})",
    )
    parser.add_argument("--as-given", action="store_true", help="start from the crystals without relaxing them")
    _add(parser, "--seed", usual.seed, "N", "of everything random")

    md = parser.add_argument_group("md: molecular dynamics at constant pressure and temperature")
    md.add_argument(
        "--temperature",
        type=_split_numbers,
        default=usual.temperatures,
        metavar="K,...",
        help=f"one or more, also for phonons and soft (default: {temperatures})",
    )
    _add(md, "--pressure", usual.pressure, "GPA", "in GPa")
    _add(md, "--timestep", usual.timestep, "FS", "in fs")
    _add(md, "--steps", usual.steps, "N", "at each temperature")
    _add(md, "--every", usual.every, "N", "steps from one candidate to the next")
    _add(md, "--md-frames", usual.md_frames, "N", "that are kept at each temperature")

    strain = parser.add_argument_group("strain: isotropic strains, equally spaced")
    strain.add_argument(
        "--strain",
        type=float,
        nargs=2,
        default=usual.strains,
        metavar=("LOW", "HIGH"),
        help=f"of the cell lengths (default: {' '.join(f'{each:g}' for each in usual.strains)})",
    )
    _add(strain, "--strain-frames", usual.strain_frames, "N", "number of strains")
    strain.add_argument("--relax-strained", action="store_true", help="relax the positions in each strained cell")

    relax = parser.add_argument_group("relax: frames on the way to the minimum")
    _add(relax, "--fmax", usual.fmax, "F", "largest force where it ends, in eV/A")
    _add(relax, "--relax-steps", usual.relax_steps, "N", "largest number of steps")
    _add(relax, "--relax-frames", usual.relax_frames, "N", "largest number of frames")

    rattle = parser.add_argument_group("rattle: random displacements and strains")
    _add(rattle, "--rattle-frames", usual.rattle_frames, "N", "number of frames")
    _add(rattle, "--rattle-sigma", usual.rattle_sigma, "A", "standard deviation of each coordinate, in A")
    _add(rattle, "--rattle-strain", usual.rattle_strain, "E", "standard deviation of each component of the strain")

    modes = parser.add_argument_group(
        "phonons, soft, equal, mixed: displacements along all modes, along the lowest one by one, along all modes with "
        "equal forces, and along the soft ones in random combinations, forth and back"
    )
    _add(modes, "--phonon-frames", usual.phonon_frames, "N", "at each temperature")
    modes.add_argument("--quantum", action="store_true", help="quantum oscillators, rather than classical ones")
    _add(modes, "--min-frequency", usual.min_frequency, "THZ", "of softer and imaginary modes, in THz")
    _add(modes, "--soft-modes", usual.soft_modes, "N", "number of lowest modes")

    _add(modes, "--equal-frames", usual.equal_frames, "N", "number of frames")
    _add(modes, "--mixed-frames", usual.mixed_frames, "N", "number of frames")
    _add(modes, "--mixed-limit", usual.mixed_limit, "THZ", "frequency below which modes are soft, in THz")
    modes.add_argument(
        "--rms",
        type=_split_numbers,
        default=usual.sizes,
        metavar="A,...",
        help="of the displacements, in A, in turn (default: 0.02,0.05,0.1; of phonons what the temperature gives)",
    )

    bounds = parser.add_argument_group("unphysical frames")
    _add(bounds, "--contact", limits.contact, "C", "shortest distance, of the sum of covalent radii")
    _add(bounds, "--max-stretch", limits.stretch, "C", "largest factor of the cell along any direction, or its inverse")
    _add(bounds, "--max-force", limits.force, "F", "largest force on an atom, in eV/A")


def _add(group: Any, name: str, default: float, metavar: str, text: str) -> None:
    group.add_argument(
        name, type=type(default), default=default, metavar=metavar, help=f"{text} (default: {default:g})"
    )


def _split_words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _split_numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' must be numbers with commas between them") from None


def _sample(arguments: argparse.Namespace) -> int:
    from ..frames import read_frames
    from ..training.calculators import get_digest, make_calculator
    from ..training.job import Job
    from ..training.sample.crystals import prepare_crystals
    from ..training.sample.run import sample_crystals
    from .progress import show

    settings = _read_settings(arguments)
    crystals = prepare_crystals(read_frames(arguments.crystals))
    calculator = make_calculator(arguments.calculator, device=arguments.device, dtype=arguments.dtype)
    model = _find_model(arguments.descriptor_model, calculator)
    identity = {
        **asdict(settings),
        "calculator": arguments.calculator,
        "digest": get_digest(calculator),
        "dtype": arguments.dtype,
        "descriptor_model": arguments.descriptor_model,
        "descriptor_digest": model.digest if model else None,
    }
    job = Job(arguments.output, "sample", [arguments.crystals], identity)
    if job.finished is not None:
        print(f"{arguments.output} is finished")
        _print_summary(arguments.output, job.finished)
        return 0
    manifest = sample_crystals(crystals, calculator, settings, job, model=model, track=show)
    _print_summary(arguments.output, manifest)
    return 0


def _read_settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        kinds=arguments.kind,
        seed=arguments.seed,
        as_given=arguments.as_given,
        temperatures=arguments.temperature,
        pressure=arguments.pressure,
        timestep=arguments.timestep,
        steps=arguments.steps,
        every=arguments.every,
        md_frames=arguments.md_frames,
        strains=tuple(arguments.strain),
        strain_frames=arguments.strain_frames,
        relax_strained=arguments.relax_strained,
        fmax=arguments.fmax,
        relax_steps=arguments.relax_steps,
        relax_frames=arguments.relax_frames,
        rattle_frames=arguments.rattle_frames,
        rattle_sigma=arguments.rattle_sigma,
        rattle_strain=arguments.rattle_strain,
        phonon_frames=arguments.phonon_frames,
        quantum=arguments.quantum,
        min_frequency=arguments.min_frequency,
        soft_modes=arguments.soft_modes,
        equal_frames=arguments.equal_frames,
        mixed_frames=arguments.mixed_frames,
        mixed_limit=arguments.mixed_limit,
        sizes=arguments.rms,
        limits=Limits(arguments.contact, arguments.max_stretch, arguments.max_force),
    )


def _find_model(name: str | None, calculator: BaseCalculator) -> LoadedModel | None:
    if name is not None:
        from ..models.loading import load

        return load(name)
    members: tuple[LoadedModel, ...] = getattr(calculator, "loaded", ())
    return members[0] if members else None


def _print_summary(output: Path, manifest: Manifest) -> None:
    from ..frames import read_frames
    from ..training.manifest import manifest_path

    frames = read_frames(output)
    kinds = Counter(atoms.info["kind"] for atoms in frames)
    sources = {str(atoms.info["source"]) for atoms in frames}
    print(f"{output}: {len(frames)} frames of {len(sources)} crystals")
    for kind, count in kinds.items():
        print(f"  {count:5d}  {kind}")
    reasons = Counter(each.reason.partition(":")[0] for each in manifest.dropped)
    if reasons:
        print(f"Left out, ended early or not relaxed, each named in {manifest_path(output)}:")
    for reason, count in reasons.most_common():
        print(f"  {count:5d}  {reason}")

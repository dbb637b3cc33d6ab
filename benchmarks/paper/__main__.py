"""``python -m paper``: the paper's tables and figures with a model, published values beside.

make paper                                   # the embedded model and GFN1-xTB, four frameworks, into docs/paper
make paper OPTIONS="--model mof0 --out mof0" # the published model, where its weights are
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from paper import expansion
from paper.drivers import DRIVERS, run
from paper.gfn1 import Reference
from paper.machine import describe_machine
from paper.published import Published
from paper.study import Study
from phonopy_mlp.errors import PhonopyMlpError, SettingsError
from phonopy_mlp.files import write_yaml
from phonopy_mlp.registry import find_calculator, is_model_file

ROOT = Path(__file__).resolve().parents[2]
FRAMEWORKS = ("MIL-53", "MOF-5", "UiO-66", "MOF-74")
"""The one whose soft minimum takes longest comes first, so that no process is left alone with it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the drivers and return the exit status."""
    options = parse(argv)
    try:
        study = make_study(options)
        chosen = options.only or list(DRIVERS)
        try:
            seconds = run(study, chosen, options.jobs)
        finally:
            rows = [{"framework": f, "command": c, "reason": reason} for (f, c), reason in study.failures.items()]
            study.write_table("failures", rows or [{"framework": "", "command": "", "reason": "none"}])
    except PhonopyMlpError as error:
        print(f"paper: error: {error}", file=sys.stderr)
        return 2
    write_yaml(study.out / "machine.yaml", {**describe_machine(), "processes": options.jobs, "seconds": seconds})
    for row in rows:
        print(f"{row['framework']}, {row['command']}: {row['reason']}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="paper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="registered name or model file (default: mini)")
    parser.add_argument(
        "--structures", type=Path, nargs="+", help="structure files, named as the frameworks (default: four)"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="extxyz files, one for each framework, with energies, forces, stresses; tables call them as the folder "
        "(default: those of GFN1-xTB)",
    )
    parser.add_argument(
        "--qha-strain",
        type=float,
        metavar="S",
        help=f"largest strain of the cell lengths (default: {expansion.STRAINS['mini']:g} for mini, else "
        f"{expansion.STRAIN:g})",
    )
    parser.add_argument("--only", choices=DRIVERS, action="append", help="one driver; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small meshes and supercells, to see that all runs")
    parser.add_argument("--jobs", type=int, default=2, help="processes, a framework in each (default: 2)")
    parser.add_argument("--published", type=Path, default=ROOT.parent / "shared" / "reference", help="reference data")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "paper", help="folder of the runs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "paper", help="folder of tables and figures")
    return parser.parse_args(argv)


def make_study(options: argparse.Namespace) -> Study:
    """Return what the command line asks for.

    Raises
    ------
    SettingsError
        Structures or labels that are not there, or two frameworks of one name.
    CalculatorError
        A model that is not there.

    """
    shipped = ROOT / "src" / "mace_mof_calc" / "data" / "structures"
    files = options.structures or [shipped / f"{name}.cif" for name in FRAMEWORKS]
    names = [path.stem for path in files]
    for path in files:
        if not path.is_file():
            raise SettingsError(f"Structure file '{path}' was not found", "there is no such file", "Check its name")
        if names.count(path.stem) > 1:
            raise SettingsError(f"Two structure files are called '{path.stem}'", "results go by name", "Rename one")
    if options.labels is not None and not list(options.labels.glob("*.extxyz")):
        raise SettingsError(f"'{options.labels}' has no labels", "there is no .extxyz in it", "Give another folder")
    if options.jobs < 1:
        raise SettingsError(f"{options.jobs} processes", "at least one is needed", "Give for example --jobs 2")
    model = str(Path(options.model).resolve()) if is_model_file(options.model) else options.model
    find_calculator(model)
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    return Study(
        model=model,
        frameworks={path.stem: path.resolve() for path in files},
        work=options.work.resolve(),
        out=options.out.resolve(),
        published=Published(options.published.resolve() if options.published.is_dir() else None),
        reference=Reference(options.work.resolve() / "gfn1"),
        quick=options.quick,
        labels=None if options.labels is None else options.labels.resolve(),
        qha_strain=options.qha_strain,
    )


if __name__ == "__main__":
    sys.exit(main())

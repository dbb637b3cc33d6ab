"""Commands on models and their weights: ``models``, ``fetch``, ``info``, ``domain``, ``verify``."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError, WeightsError
from ..models.cards import CARDS, GFN1_ELEMENTS, ModelCard, read_card
from ..models.own import list_own

if TYPE_CHECKING:
    from ..models.packed import PackedModel

_DIFFERS = 1


def add_parsers(commands: Any) -> None:
    """Add the parsers of these commands."""
    models = commands.add_parser("models", help="list the models")
    models.set_defaults(command=_list_models)

    fetch = commands.add_parser("fetch", help="fetch the weights of a model into the cache")
    fetch.add_argument("name", metavar="NAME", help="model, such as mof0")
    fetch.add_argument("--url", help="fetch from this address instead; the file is verified all the same")
    fetch.add_argument("--quiet", action="store_true", help="draw no progress bar")
    fetch.set_defaults(command=_fetch)

    info = commands.add_parser("info", help="say what a model is")
    info.add_argument("model", metavar="FILE", help="model file, or name of a model")
    info.set_defaults(command=_show_info)

    domain = commands.add_parser("domain", help="record what a model was trained on, to know what is outside of it")
    domain.add_argument("frames", metavar="FILE", help="its training set: extxyz, or another format of ASE")
    domain.add_argument("--model", required=True, metavar="NAME", help="name of a model, or model file")
    domain.add_argument("--every", type=int, default=1, metavar="N", help="environments of every Nth structure alone")
    domain.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of beside the model file")
    domain.set_defaults(command=_make_domain)

    verify = commands.add_parser("verify", help="check a model against its published fingerprint")
    verify.add_argument("name", metavar="NAME", help="model, such as mof0")
    verify.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    verify.set_defaults(command=_verify)


def _list_models(_arguments: argparse.Namespace) -> int:
    rows = [("name", "level of theory", "elements", "weights")]
    rows += [(card.name, card.level_of_theory, _count_elements(card), _locate(card)) for card in CARDS.values()]
    rows.append(
        ("mp-0b-d3", "PBE(+U) + D3(BJ)", _count_elements(CARDS["mp-0b"]), _needs("those of mp-0b", "torch_dftd"))
    )
    rows.append(("gfn1-xtb", "GFN1-xTB", str(GFN1_ELEMENTS), _needs("none needed", "tblite")))
    rows += [_describe_own(name, path) for name, path in list_own().items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
    return 0


def _describe_own(name: str, path: Path) -> tuple[str, str, str, str]:
    try:
        card = read_card(path)
    except ModelFileError:
        return name, "", "", f"{path}, which cannot be read"
    return name, card.level_of_theory, _count_elements(card), str(path)


def _count_elements(card: ModelCard) -> str:
    curated = f" ({len(card.curated_elements)} curated)" if card.curated_elements else ""
    return f"{len(card.elements)}{curated}"


def _needs(weights: str, package: str) -> str:
    return weights if find_spec(package) else f"{weights}; {package.replace('_', '-')} is not installed"


def _locate(card: ModelCard) -> str:
    from ..models.weights import find

    if card.embedded:
        return "in the package"
    try:
        path = find(card.name)
    except WeightsError:
        return f"another {card.filename} is here, not the published file"
    return f"not fetched ({card.filename})" if path is None else str(path)


def _fetch(arguments: argparse.Namespace) -> int:
    from ..models.weights import fetch

    print(fetch(arguments.name, progress=not arguments.quiet, url=arguments.url))
    return 0


def _show_info(arguments: argparse.Namespace) -> int:
    from ..models.loading import load
    from ..models.packed import read_packed
    from ..models.weights import resolve

    resolve(arguments.model, allow_fetch=False)
    loaded = load(arguments.model)
    packed = read_packed(loaded.path) if loaded.path.suffix == ".json" else None
    rows = {
        "file": str(loaded.path),
        "digest": loaded.digest,
        "elements": f"{len(loaded.elements)}: {' '.join(loaded.elements)}",
        "cutoff": f"{loaded.r_max:g} Angstrom per layer",
        "heads": ", ".join(f"{head} (used)" if head == loaded.head else head for head in loaded.heads),
        "parameters": f"{sum(parameter.numel() for parameter in loaded.module.parameters())}",
    }
    _print_rows(loaded.name, rows | ({} if loaded.card is None else _describe(loaded.card)))
    _print_validation(packed)
    return 0


def _describe(card: ModelCard) -> dict[str, str]:
    return {
        "title": card.title,
        "level of theory": card.level_of_theory,
        "dispersion": "included" if card.dispersion_included else "not included",
        "curated elements": " ".join(card.curated_elements) or "none",
        "licence": card.licence,
        "citation": card.citation,
        "doi": card.doi,
        "mace-torch": f">= {card.mace_version}",
        "notes": card.notes,
    }


def _print_rows(title: str, rows: dict[str, str]) -> None:
    print(title)
    for label, text in rows.items():
        if text:
            print(f"  {label:<17} {text}")


def _print_validation(packed: PackedModel | None) -> None:
    if packed is None or not packed.card.validation:
        return
    print("  validation")
    for row in packed.card.validation:
        verdict = {True: "met", False: "missed", None: ""}[row.met]
        asked = "" if row.criterion is None else f" (asked for: {row.criterion})"
        print(f"    {verdict:<6}  {row.quantity}: {row.result}{asked}")


def _make_domain(arguments: argparse.Namespace) -> int:
    from ..domain.reference import make_reference, reference_path, write_reference
    from ..frames import read_frames
    from ..models.loading import load

    frames = read_frames(Path(arguments.frames))
    model = load(arguments.model)
    reference = make_reference(model, frames, every=arguments.every)
    path = arguments.output or reference_path(model)
    write_reference(reference, path)
    print(f"{path}: {', '.join(sorted(reference.environments))} in {len(frames)} structures")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from ..models.fingerprints import ENERGY_TOLERANCE, FORCE_TOLERANCE, verify

    outcome = verify(arguments.name, device=arguments.device)
    print(f"{outcome.name} on {outcome.structure}{', ' + outcome.settings if outcome.settings else ''}")
    print(f"  energy         {outcome.energy:.6f} eV, expected {outcome.expected_energy:.6f} +- {ENERGY_TOLERANCE:g}")
    print(
        f"  largest force  {outcome.max_force:.2e} eV/Angstrom, "
        f"expected {outcome.expected_max_force:.2e} +- {FORCE_TOLERANCE:g}"
    )
    print("  agrees with its fingerprint" if outcome.passed else "  DIFFERS from its fingerprint")
    return 0 if outcome.passed else _DIFFERS

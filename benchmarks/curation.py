"""Curation of the 138 CIFs of the paper's sets, whatever their elements, as ``mace-mof curate`` does it.

Writes ``docs/results/curated-reference.csv`` and ``docs/figures/curated-reference.png``. The descriptors are those of
MACE with random parameters (`production.py`): they tell surroundings apart, and know no chemistry. What is dropped, and
why, does not depend on them.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from zipfile import ZipFile

from ase.data import chemical_symbols
from production import production_module

from mace_mof_calc.cli.progress import show
from mace_mof_calc.models.loading import LoadedModel, load
from mace_mof_calc.models.packed import save_packed
from mace_mof_calc.training.curate.curation import run_curation

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "curation"
COUNT = 30


def load_random_model() -> LoadedModel:
    """Return MACE with random parameters, of the architecture of MACE-MP-0b (medium)."""
    card = {
        "name": "random",
        "title": "Random parameters",
        "level_of_theory": "none",
        "dispersion_included": False,
        "elements": chemical_symbols[1:90],
        "curated_elements": [],
        "licence": "MIT",
        "citation": "none",
        "doi": "",
        "mace_version": "0.3.8",
        "notes": "Not trained.",
    }
    return load(save_packed(production_module(), WORK / "random", card))


def main() -> None:
    """Curate, going on where an earlier run was stopped, and copy the table and the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, default=ROOT.parent / "shared" / "reference", help="reference data")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    ZipFile(arguments.published / "cifs" / "cifs.zip").extractall(WORK / "cifs")
    output = WORK / "chosen.extxyz"
    done = run_curation(WORK / "cifs", output, load_random_model(), COUNT, track=show)
    print(f"{done.manifest.frames} chosen, {len(done.manifest.dropped)} dropped")
    shutil.copyfile(output.with_suffix(".csv"), ROOT / "docs" / "results" / "curated-reference.csv")
    shutil.copyfile(output.with_suffix(".png"), ROOT / "docs" / "figures" / "curated-reference.png")


if __name__ == "__main__":
    main()

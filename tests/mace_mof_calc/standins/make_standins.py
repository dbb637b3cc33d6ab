"""Make the stand-ins for the published model files, with the trainer that wrote those.

The published files are pickles written by the multi-head fine-tuning of mace-torch 0.3.8. The stand-ins are written
the same way from a toy data set (a pair potential on small random crystals of H, C, O and Zn), with few channels, and
mean nothing physically. They are:

``foundation-0.3.8.model``
    one head, float32, Agnesi transform and pair repulsion as in MACE-MP-0b, what the fine-tuning starts from;
``multihead-0.3.8.model``
    fine-tuned from it in float64: the replay head ``pt_head`` and the head ``Default``.

Run it in an environment of its own (the versions that wrote the files in this folder)::

    python -m venv mace038
    mace038/bin/pip install torch==2.13.0 mace-torch==0.3.8
    mace038/bin/python make_standins.py

It takes about a minute on one core. Files made again differ in their bytes, not in kind.
"""

import os

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # mace 0.3.8 with torch >= 2.6

import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write
from mace import tools
from mace.cli.run_train import run

HERE = Path(__file__).parent
E0S = {1: -1.0, 6: -8.0, 8: -4.0, 30: -0.2}  # eV, of the free atoms
ARCHITECTURE = {
    "model": "ScaleShiftMACE",
    "r_max": 4.0,  # Angstrom
    "num_radial_basis": 4,
    "num_interactions": 2,
    "num_channels": 4,
    "max_L": 1,
    "max_ell": 1,
    "correlation": 3,
    "radial_MLP": "[8, 8, 8]",
    "MLP_irreps": "4x0e",
    "distance_transform": "Agnesi",
    "interaction_first": "RealAgnosticResidualInteractionBlock",
    "interaction": "RealAgnosticResidualInteractionBlock",
}


def make_crystals(count: int, seed: int) -> list[Atoms]:
    """Make labelled crystals: rattled rocksalt cells with random species."""
    rng = np.random.default_rng(seed)
    crystals = []
    for _ in range(count):
        atoms = bulk("NaCl", "rocksalt", a=5.0) * (2, 1, 1)
        atoms.numbers = rng.choice(list(E0S), len(atoms))
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        atoms.calc = LennardJones(sigma=2.2, epsilon=0.1, rc=4.0, smooth=True)
        energy = atoms.get_potential_energy() + sum(E0S[number] for number in atoms.numbers)
        forces, stress = atoms.get_forces(), atoms.get_stress()
        atoms.calc = None
        atoms.info.update(REF_energy=energy, REF_stress=stress)
        atoms.arrays["REF_forces"] = forces
        crystals.append(atoms)
    return crystals


def train(name: str, work: Path, **options: object) -> Path:
    """Run mace's trainer for a few epochs and return the model file."""
    options = {
        "name": name,
        "work_dir": work / name,
        "E0s": str(E0S),
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "valid_fraction": 0.2,
        "batch_size": 4,
        "valid_batch_size": 4,
        "max_num_epochs": 10,
        "lr": 0.02,
        "seed": 1,
        "device": "cpu",
        **options,
    }
    arguments = [f"--{key}" if value is True else f"--{key}={value}" for key, value in options.items()]
    run(tools.build_default_arg_parser().parse_args(arguments))
    logging.getLogger().handlers.clear()
    return work / name / f"{name}.model"


def main() -> None:
    """Train both models in a temporary folder and keep the files."""
    previous = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        os.chdir(work)  # the trainer saves where it runs
        write(work / "replay.xyz", make_crystals(20, seed=1))
        write(work / "tuning.xyz", make_crystals(20, seed=2))
        train(
            "foundation",
            work,
            train_file=work / "replay.xyz",
            default_dtype="float32",
            pair_repulsion=True,
            **ARCHITECTURE,
        )
        shutil.copy(work / "foundation" / "foundation.model", HERE / "foundation-0.3.8.model")
        # As mace does with its own foundation models, which are float32 too.
        torch.save(torch.load(HERE / "foundation-0.3.8.model").double(), work / "foundation-float64.model")
        train(
            "multihead",
            work,
            train_file=work / "tuning.xyz",
            pt_train_file=work / "replay.xyz",
            foundation_model=work / "foundation-float64.model",
            heads=str({"Default": {"train_file": str(work / "tuning.xyz"), "E0s": str(E0S)}}),
            default_dtype="float64",
        )
        shutil.copy(work / "multihead" / "multihead.model", HERE / "multihead-0.3.8.model")
        os.chdir(previous)


if __name__ == "__main__":
    main()

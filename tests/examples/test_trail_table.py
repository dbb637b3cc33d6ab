"""The table that the examples make of a trail has every step of it, and what is left."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from double_wells import DoubleWells, argon, caesium_chloride
from double_wells import Shearing as Shear

from phonopy_mlp.stability.stabilise import stabilise

SCRIPT = Path(__file__).parents[2] / "examples" / "trail_table.py"


def table(folder, record):
    source, target = folder / "trail.yaml", folder / "trail.csv"
    source.write_text(yaml.safe_dump(record))
    subprocess.run([sys.executable, SCRIPT, source, target], check=True)
    with target.open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_a_mode_that_was_followed_is_a_row(tmp_path):
    result = stabilise(caesium_chloride(), DoubleWells((5, 5, -1)), supercell_matrix=np.eye(3, dtype=int))
    # a^2/4b is 12.5 meV.
    relaxed, follow, check = table(tmp_path, dict(result.describe()))
    assert relaxed == ["relax", "", "P4/mmm", "P4/mmm", "2", "+0.000", "accepted"]
    assert follow == ["follow", "-2.955 THz at (0 0 0)", "P4/mmm", "P4mm", "2", "-12.500", "accepted"]
    assert check[:6] == ["check", "", "", "", "", ""]
    assert check[6].startswith("stable, lowest mode ")


def test_what_is_left_and_what_was_rejected_is_told(tmp_path):
    method = {"supercell_matrix": np.diag([4, 4, 4]), "cell": "fixed"}
    result = stabilise(argon(), Shear(), **method)
    _, check = table(tmp_path, {"phonopy_mlp": {"steps": {"stabilise": dict(result.describe())}}})
    assert check[6].startswith("not stable, lowest mode ")
    assert check[6].endswith("; 0 modes, 4 long waves, 1 strains are left")
    failing = stabilise(argon(), Shear(), supercell_matrix=np.diag([4, 4, 4]), methods=["rattle"], max_steps=1)
    rattle = table(tmp_path, dict(failing.describe()))[1]
    assert rattle[:2] == ["rattle", ""]
    assert rattle[6] == f"rejected: {failing.trail[1].reason}"

"""phonopy_mlp belongs to every ASE calculator: it loads none by itself, and the packages meet at entry points alone."""

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def test_importing_everything_loads_neither_torch_nor_mace():
    code = (
        "import importlib, pkgutil, sys, phonopy_mlp;"
        "names = [m.name for m in pkgutil.walk_packages(phonopy_mlp.__path__, 'phonopy_mlp.')];"
        "[importlib.import_module(n) for n in names if 'hatch_build' not in n and '.startup' not in n];"
        "assert 'phonopy_mlp.cli.run' in sys.modules;"
        "heavy = {'torch', 'mace', 'mace_mof_calc', 'tblite'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_neither_package_names_the_other_in_an_import():
    for package, other in (("mace_mof_calc", "phonopy_mlp"), ("phonopy_mlp", "mace_mof_calc")):
        for path in (SOURCE / package).rglob("*.py"):
            for line in path.read_text().splitlines():
                assert not line.lstrip().startswith((f"import {other}", f"from {other}")), f"{path}: {line}"

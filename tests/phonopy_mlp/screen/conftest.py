"""Calculators that do to their process what an element says, and folders of metals."""

import os
import subprocess
import sys
import time

import pytest
from ase.build import bulk
from ase.io import write
from distributions import write_distribution
from numpy.testing import assert_allclose

from phonopy_mlp.cli.main import main
from phonopy_mlp.registry import describe, get_calculator

_FACTORY = """
import os
import signal
import time

from ase.calculators.emt import EMT


broken = False  # as CUDA's context is for good
SIGNALS = {"Au": signal.SIGKILL, "Rh": signal.SIGTERM}


class Moody(EMT):
    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        time.sleep(float(os.environ.get("MOODY_SECONDS", "0")))
        symbol = atoms.symbols[0]
        global broken
        if symbol == "Pb" or broken:
            broken = True
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if symbol == "Ni":
            os._exit(7)
        if symbol == "Ir":
            os._exit(0)
        if symbol == "Pd":
            os.kill(os.getpid(), signal.SIGSEGV)
        if symbol == "Pt":
            time.sleep(3600)
        if symbol == "Ag":
            hoard = []
            while True:
                hoard.append(bytearray(os.urandom(1024)) * 2**14)
                time.sleep(0.01)
        if symbol in SIGNALS and not os.path.exists("../killed"):
            open("../killed", "w").close()
            os.kill(os.getpid(), SIGNALS[symbol])
            time.sleep(60)
        super().calculate(atoms, properties, system_changes)

    def describe(self):
        return {"name": "moody", "digest": os.environ.get("MOODY_DIGEST", "0"), "elements": None}


def moody(*, device, dtype):
    if "MOODY_LOG" in os.environ:
        with open(os.environ["MOODY_LOG"], "a") as file:
            file.write(f"{os.getpid()}\\n")
    if "MOODY_PARENTS" in os.environ:
        with open(os.environ["MOODY_PARENTS"], "a") as file:
            file.write(f"{os.getppid()}\\n")
    return Moody()
"""


@pytest.fixture(scope="session")
def moody_site(tmp_path_factory):
    points = "[phonopy_mlp.calculators]\nmoody = moody_calculator:moody\n"
    return write_distribution(tmp_path_factory.mktemp("moody"), "moody_calculator", _FACTORY, points)


@pytest.fixture
def place(moody_site, monkeypatch, tmp_path):
    """Work in an empty folder, where the calculator is known to all processes."""
    monkeypatch.syspath_prepend(str(moody_site))
    # A process for that alone is tried in test_processes.py.
    monkeypatch.setattr(
        "phonopy_mlp.cli.screen.describe_calculator", lambda name, settings: describe(get_calculator(name, **settings))
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(moody_site), *sys.path]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


OPTIONS = ["--mlp", "moody", "--db", "r.db", "--workers", "2"]
SET_RELAX = ["--set", "relax", "--relax-fmax 1e-3"]
SET_PHONONS = ["--set", "phonons", "--dim 2 2 2 --mesh 3 3 3"]
BOTH = ["--steps", "relax,phonons", *SET_RELAX, *SET_PHONONS]
RELAX = ["--steps", "relax", *SET_RELAX]


def make_metals(folder, *symbols):
    folder.mkdir(parents=True, exist_ok=True)
    for symbol in symbols:
        write(folder / f"{symbol}.cif", bulk(symbol, cubic=True))


def screen(*more):
    """Screen by relaxation and phonons."""
    return main(["screen", "cifs", *OPTIONS, *BOTH, *map(str, more)])


def relax(*more):
    """Screen by relaxation alone."""
    return main(["screen", "cifs", *OPTIONS, *RELAX, *map(str, more)])


def start(*words):
    """Screen in a process of its own."""
    code = "import sys; from phonopy_mlp.cli.main import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "screen", "cifs", *OPTIONS, *words]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


LONG = 600
"""Seconds within which anything ends, on any machine."""


def wait_for(condition, seconds=LONG):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.02)


def read_rows(database="r.db"):
    """Return the rows by name, without when and by whom they were written and what took how long."""
    from ase.db import connect

    found = {}
    for row in connect(database).select():
        values = {key: value for key, value in row.key_value_pairs.items() if not key.endswith("_seconds")}
        found[row.name] = (row.toatoms(), values, row.data)
    return found


def assert_same(found, expected):
    """Compare two rows of one structure."""
    assert found[1] == expected[1]
    assert_allclose(found[0].positions, expected[0].positions, atol=0)
    assert_allclose(found[0].cell.array, expected[0].cell.array, atol=0)
    assert found[2]["input"] == expected[2]["input"]
    for step, outcome in expected[2]["steps"].items():
        other = found[2]["steps"][step]
        for key in ("state", "question", "reason", "values"):
            assert other[key] == outcome[key]
        large = "force_constants.hdf5"
        assert other["files"].get(large) == outcome["files"].get(large)

"""A calculator that takes no time, by name, and what a publication might have of it."""

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Name of a registered calculator, which processes that are started know as well."""
    folder = tmp_path_factory.mktemp("distribution")
    info = folder / "toy_calculators-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-calculators\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[phonopy_mlp.calculators]\ntoy = toys:emt\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield "toy"


@pytest.fixture(scope="module")
def crystals(tmp_path_factory):
    """Files of a cubic crystal, in a cell that is not primitive, and of a tetragonal one."""
    folder = tmp_path_factory.mktemp("crystals")
    write(folder / "Cu.cif", bulk("Cu", cubic=True))
    layers = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[2.8, 2.8, 3.7], pbc=True)
    write(folder / "CuAu.cif", layers)
    return folder

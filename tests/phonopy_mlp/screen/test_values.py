"""What a screening keeps of crystals that are not as simple as copper."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from phonopy_mlp.cli.main import main
from phonopy_mlp.screen.values import find_values

from .conftest import OPTIONS, make_metals, read_rows

HCP = bulk("Cu", "hcp", a=2.55, c=4.17)
OF_VOLUMES = {"volume_300K", "bulk_modulus_300K", "grueneisen_300K"}
ALONG = {"expansion_a_300K", "expansion_b_300K", "expansion_c_300K"}


@pytest.mark.parametrize(
    ("atoms", "way", "more"),
    [
        (HCP, "--dim 2 2 1 --qha-volumes 5", OF_VOLUMES),
        (bulk("Cu", cubic=True), "--dim 2 2 2 --qha-lengths -0.01 0 0.01 0.02", ALONG),
        (HCP, "--dim 2 2 1 --qha-tensor", ALONG),
    ],
    ids=["volumes", "lengths", "tensor"],
)
def test_expansion_is_that_of_the_crystal_and_of_the_way(place, atoms, way, more):
    (place / "cifs").mkdir()
    write(place / "cifs" / "Cu.cif", atoms)
    qha = ["--set", "qha", f"{way} --mesh 4 4 4 --tmax 500 --tstep 20"]
    assert main(["screen", "cifs", *OPTIONS, "--steps", "relax,qha", *qha]) == 0
    values = read_rows()["Cu"][1]
    assert {key for key in values if key.endswith("_300K")} == {"volumetric_expansion_300K"} | more
    if more is OF_VOLUMES:
        # As it is at that temperature, and not between those of a table.
        table = np.loadtxt(place / "r/tasks/Cu/qha/volume-temperature.dat")
        (volume,) = table[table[:, 0] == 300, 1]
        assert values["volume_300K"] == pytest.approx(volume, rel=1e-9)
        return
    a, b, c = (values[f"expansion_{axis}_300K"] for axis in "abc")
    assert a == pytest.approx(b, rel=1e-4)
    assert 2 * a + c == pytest.approx(values["volumetric_expansion_300K"], rel=0.01)
    assert (abs(a - c) < 1e-4 * a) == (len(atoms) == 4)


def test_an_unstable_crystal_has_no_moduli(place):
    (place / "cifs").mkdir()
    write(place / "cifs" / "bcc.cif", bulk("Cu", "bcc", a=2.87))
    words = ["--steps", "relax,elastic", "--set", "relax", "--fix-symmetry"]
    assert main(["screen", "cifs", *OPTIONS, *words]) == 0
    values = read_rows()["bcc"][1]
    assert not values["elastically_stable"]
    assert not [key for key in values if key.startswith("hill")]


def test_the_energy_under_pressure_is_without_its_work(place):
    make_metals(place / "cifs", "Cu")
    words = ["--steps", "stabilise", "--set", "stabilise", "--dim 2 2 2 --pressure 5"]
    assert main(["screen", "cifs", *OPTIONS, *words]) == 0
    atoms = read_rows()["Cu"][0]
    energy = atoms.get_potential_energy()
    atoms.calc = EMT()
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)


def test_volumes_with_doubts_are_told(place, monkeypatch):
    entry = {"T (K)": [300.0], "share_of_mesh_modes_left_out": [0.1, 0.0], "doubtful": [{}, {}]}
    for used, told in (([True, True], "share_of_mesh_modes_left_out"), ([False, True], "")):
        record = {"steps": {"qha": {**entry, "used": used}}}
        assert find_values("qha", record, place)["doubtful"] == told

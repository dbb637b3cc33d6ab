"""Free energy over volumes of a crystal that doubles its cell at some of them."""

import numpy as np
import pytest
import yaml
from double_wells import EDGES, Appearing, caesium_chloride
from kills import watching
from numpy.testing import assert_allclose
from phonopy.physical_units import get_physical_units

from phonopy_mlp.errors import ImaginaryModesError
from phonopy_mlp.qha import stabilised
from phonopy_mlp.qha.output import write_qha
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.stability.stabilise import stabilise
from phonopy_mlp.unfinished import Unfinished

UNITS = get_physical_units()
SETTINGS = {"supercell_matrix": np.diag([2, 2, 2]), "mesh": (5, 5, 5), "temperatures": np.arange(0, 1010, 100)}


@pytest.fixture(scope="module")
def results():
    """Return the results with the two unstable volumes stabilised, and left out."""
    ways = ("stabilise", "exclude")
    return [run_mlp_qha(caesium_chloride(), Appearing(1.03), imaginary=way, **SETTINGS) for way in ways]


def test_a_volume_is_that_of_the_wells_per_primitive_cell_as_given(results):
    stabilised, excluded = results
    calculator = Appearing(1.03)
    assert stabilised.used == (True,) * 9
    assert excluded.used == (True,) * 7 + (False,) * 2
    assert_allclose([p.volume for p in stabilised.points], [p.volume for p in excluded.points], rtol=1e-9)
    assert_allclose(
        [point.energy for point in stabilised.points[:7]], [point.energy for point in excluded.points[:7]], atol=1e-9
    )
    for point, unstable in zip(stabilised.points[7:], excluded.points[7:], strict=True):
        instability = calculator.instability(point.volume)
        assert unstable.imaginary_modes == 1
        assert point.imaginary_modes == 0
        assert point.crystal.cells == 2
        assert len(point.atoms) == 4
        assert_allclose(np.abs(calculator.displacements(point.atoms)[:, 2]), np.sqrt(-instability / 20), rtol=1e-4)
        assert point.energy - unstable.energy == pytest.approx(-(instability**2) / 80, abs=1e-8)
    above = stabilised.points[7]
    softest = UNITS.DefaultToTHz * np.sqrt(-2 * calculator.instability(above.volume) / above.atoms.get_masses()[-1])
    assert above.lowest_frequency == pytest.approx(softest, rel=1e-3)


def test_thermal_properties_are_per_primitive_cell(results):
    # Six modes each, less three translations over 125 or 250 cells.
    for point in results[0].points:
        share = 6 - 3 / (125 * point.crystal.cells)
        assert point.thermal.heat_capacity[-1] / UNITS.KB == pytest.approx(share, rel=0.01)
        assert point.thermal.left_out == 0
    below, above = results[0].points[6:8]
    # Soft on both sides of where the wells appear, and no step.
    assert above.thermal.free_energy[0] == pytest.approx(below.thermal.free_energy[0], rel=0.05)


def test_what_was_done_is_told_for_every_volume(results, tmp_path):
    points = results[0].points
    assert all(point.stabilisation is None and point.crystal.cells == 1 for point in points[:7])
    first, second = (point.stabilisation for point in points[7:])
    gain = Appearing(1.03).instability(points[7].volume) ** 2 / 80
    assert first.rounds == 1
    assert first.energy_gain == pytest.approx(gain, rel=1e-3)
    # It comes from the stabilised crystal beside it, and has nothing to leave.
    assert (second.rounds, second.energy_gain) == (0, 0.0)
    write_qha(results[0], tmp_path)
    written = yaml.safe_load((tmp_path / "qha_volumes.yaml").read_text())
    assert written["imaginary"] == "stabilise"
    assert [volume["primitive_cells"] for volume in written["volumes"]] == [1] * 7 + [2] * 2
    assert [volume["stabilised"] is None for volume in written["volumes"]] == [True] * 7 + [False] * 2
    names = [volume["stabilised"]["audit_trail"] for volume in written["volumes"][7:]]
    assert names == ["qha_stabilised.yaml", None]
    assert written["volumes"][7]["stabilised"]["energy_gain"] == first.energy_gain
    thermal = yaml.safe_load((tmp_path / "thermal_properties-09.yaml").read_text())
    assert thermal["natom"] == 2
    assert thermal["volume"] == pytest.approx(1.015**3 * EDGES.prod(), rel=1e-6)


def test_every_step_of_a_stabilised_volume_stays_on_disk(results, tmp_path):
    followed_to, excluded = results
    write_qha(followed_to, tmp_path)
    (audit,) = yaml.safe_load((tmp_path / "qha_stabilised.yaml").read_text())["volumes"]
    assert audit["volume"] == followed_to.points[7].volume
    assert audit["stable"]
    relaxed, followed = audit["trail"]
    assert (relaxed["method"], followed["method"], followed["accepted"]) == ("relax", "follow", True)
    assert followed["qpoint"] == [0.5, 0.5, 0.5]
    assert followed["frequency"] == pytest.approx(excluded.points[7].lowest_frequency, rel=1e-6)
    per_cell = followed["energy_change_per_formula_unit"]
    assert per_cell == pytest.approx(-(Appearing(1.03).instability(audit["volume"]) ** 2) / 80, rel=1e-3)
    # Those of an earlier run would be taken for this one's.
    write_qha(excluded, tmp_path)
    assert not (tmp_path / "qha_stabilised.yaml").exists()


def test_the_seed_is_that_of_every_stabilisation_and_nothing_of_another_is_taken(tmp_path, monkeypatch):
    seeds = []

    def spy(*args, seed, **kwargs):
        seeds.append(seed)
        return stabilise(*args, seed=seed, **kwargs)

    monkeypatch.setattr(stabilised, "stabilise", spy)
    for seed in (5, 5, 6):
        settings = {**FEW, "imaginary": "stabilise", "unfinished": Unfinished(tmp_path), "seed": seed}
        run_mlp_qha(caesium_chloride(), Appearing(1.02), **settings)
    assert seeds == [5, 6]


def test_where_the_instability_is_gone_the_crystal_relaxes_back():
    class Passing(Appearing):
        def instability(self, volume):
            return 400 * ((volume / EDGES.prod() - 1.03) ** 2 - 0.01**2)

    calculator = Passing(1.03)
    points = run_mlp_qha(caesium_chloride(), calculator, imaginary="stabilise", **SETTINGS).points
    assert [point.crystal.cells for point in points] == [1] * 6 + [2] * 3
    for point, is_distorted in zip(points[6:], (True, True, False), strict=True):
        depth = max(0.0, -calculator.instability(point.volume))
        assert bool(depth > 0) is is_distorted
        assert_allclose(np.abs(calculator.displacements(point.atoms)[:, 2]), np.sqrt(depth / 20), atol=1e-4)
    assert [point.stabilisation.rounds for point in points[6:]] == [1, 0, 0]


def test_noise_is_not_stabilised_and_not_hidden():
    class Declared(Appearing):
        def describe(self):
            return {"name": "declared", "force_noise": 1e-4}

    with pytest.raises(ImaginaryModesError, match=r"after 0 steps 1 are, .* all within their numerical noise"):
        run_mlp_qha(caesium_chloride(), Declared(1.03), imaginary="stabilise", **SETTINGS)


FEW = {"supercell_matrix": np.diag([2, 2, 2]), "mesh": (2, 2, 2), "temperatures": [0, 50, 100], "volumes": 5}


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("volume", "volumetric_expansion", "bulk_modulus", "gibbs_energy", "heat_capacity")
    )


def test_killed_anywhere_it_goes_on_and_gives_the_same(tmp_path):
    calculator = Appearing(1.02)
    with watching(Appearing, tmp_path / "kept", tmp_path) as moments:
        kept = Unfinished(tmp_path / "kept")
        whole = run_mlp_qha(caesium_chloride(), calculator, imaginary="stabilise", unfinished=kept, **FEW)
    assert [point.crystal.cells for point in whole.points] == [1, 1, 1, 2, 2]
    # While the second volume is stabilised, its trail is what is kept.
    assert sum("stabilising" in str(path) for path in moments[18][0].rglob("*")) > 0
    for folder, finished in moments[::3]:
        again, kept = Appearing(1.02), Unfinished(folder)
        result = run_mlp_qha(caesium_chloride(), again, imaginary="stabilise", unfinished=kept, **FEW)
        # Where a line is followed is one part.
        assert again.calls <= calculator.calls - finished + 15
        assert same(result, whole), finished
        kept.remove()
        assert not folder.exists()
    nothing = Appearing(1.02)
    run_mlp_qha(caesium_chloride(), nothing, imaginary="stabilise", unfinished=Unfinished(tmp_path / "kept"), **FEW)
    assert nothing.calls == 0


def test_what_another_way_has_kept_is_not_taken_for_a_stabilised_crystal(tmp_path):
    settings = {**FEW, "volumes": 9, "unfinished": Unfinished(tmp_path)}
    excluded = run_mlp_qha(caesium_chloride(), Appearing(1.03), imaginary="exclude", **settings)
    calculator = Appearing(1.03)
    stabilised = run_mlp_qha(caesium_chloride(), calculator, imaginary="stabilise", **settings)
    assert [point.crystal.cells for point in stabilised.points] == [1] * 7 + [2] * 2
    # Stable volumes are shared, and those beyond the first unstable one are not.
    assert same(excluded, run_mlp_qha(caesium_chloride(), Appearing(1.03), imaginary="exclude", **settings))
    assert 0 < calculator.calls < 100

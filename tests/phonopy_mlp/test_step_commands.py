"""``phonopy-mlp stabilise``, ``eos``, ``elastic``, ``qha`` and ``sscha``, and the same as options of a run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from double_wells import DoubleWells, caesium_chloride
from numpy.testing import assert_allclose
from phonopy import load

from phonopy_mlp.anharmonic import run_sscha
from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.command import COMMANDS, make_parser
from phonopy_mlp.cli.config import expand
from phonopy_mlp.cli.main import main
from phonopy_mlp.cli.options import own_parser, parse
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.stabilise import StabiliseStep
from phonopy_mlp.cli.steps.start import Start
from phonopy_mlp.elasticity import run_elasticity
from phonopy_mlp.eos import run_eos
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.qha.axes import run_axial_qha
from phonopy_mlp.qha.tensor import compute_expansion_tensor
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.relax import relax
from phonopy_mlp.stability.dynamics import Dynamics
from phonopy_mlp.stability.rattle import Rattle
from phonopy_mlp.structures import with_volume
from phonopy_mlp.unfinished import Unfinished

TEMPERATURES = np.arange(0, 101, 50.0)
SAMPLING = "--mesh 3 3 3 --tmax 100 --tstep 50"


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    write("Cu.cif", bulk("Cu"))


@pytest.fixture
def relaxed():
    """Copper as it comes out of the file, at its minimum."""
    return relax(read("Cu.cif"), EMT()).atoms


def command(line: str) -> int:
    return main(line.split())


def record(name: str) -> dict:
    return yaml.safe_load(Path(name).read_text())["phonopy_mlp"]


def read_yaml(name: str) -> dict:
    return yaml.safe_load(Path(name).read_text())


def files() -> set[str]:
    return {path.name for path in Path().iterdir()} - {"Cu.cif"}


def test_eos_gives_what_the_library_gives(relaxed, capfd):
    assert command("eos --mlp emt Cu.cif --relax --eos-strain 0.01 --eos-points 9 --eos-form vinet") == 0
    expected = run_eos(relaxed, EMT(), strain=0.01, points=9, eos="vinet").primitive_fit
    found = read_yaml("eos.yaml")
    assert found["equation"] == "vinet"
    assert len(found["points"]) == 9
    assert_allclose(found["bulk_modulus"], [expected.bulk_modulus, expected.bulk_modulus_error], rtol=1e-3)
    assert f"B = {expected.bulk_modulus:.3f}" in capfd.readouterr().out
    assert files() == {"eos.yaml", "eos.png", "relaxed.cif", "phonopy_mlp-eos.yaml"}
    assert record("phonopy_mlp-eos.yaml")["steps"]["eos"]["bulk_modulus"] == found["bulk_modulus"]


def test_eos_keeps_cell_and_atoms_fixed_as_the_relaxation_did(relaxed):
    shifted = relaxed.repeat((2, 1, 1))
    shifted.positions[0] += [0.05, 0.03, 0.02]
    write("shifted.cif", shifted)
    line = "eos --mlp emt shifted.cif --relax --relax-cell fixed --fix-atoms 1-2 --eos-strain 0.02"
    assert command(line) == 0
    frozen = read("shifted.cif")
    found = read_yaml("eos.yaml")
    assert not found["shape_relaxed"]
    for point in found["points"]:
        scaled = with_volume(frozen, frozen.get_volume() * (1 + point["strain"]) ** 3)
        assert point["energy"] == pytest.approx(EMT().get_potential_energy(scaled), abs=1e-8)


@pytest.mark.parametrize(("option", "cells"), [("", 1), ("--tolerance 1e-3", 2)])
def test_eos_finds_the_primitive_cell_at_the_tolerance(relaxed, option, cells):
    rough = relaxed.repeat((2, 1, 1))
    rough.positions[0, 0] += 1e-4
    write("rough.cif", rough)
    assert command(f"eos --mlp emt rough.cif {option}") == 0
    found = read_yaml("eos.yaml")
    assert found["primitive_cells_in_cell"] == cells
    assert found["volume"][0] == pytest.approx(rough.get_volume() / cells, rel=1e-4)


def test_eos_relaxes_as_the_relaxation_did(monkeypatch):
    asked = []

    def spy(*args, **settings):
        asked.append(settings)
        return relax(*args, **settings)

    monkeypatch.setattr("phonopy_mlp.eos.volumes.relax", spy)
    assert command("eos --mlp emt Cu.cif --relax --relax-fmax 1e-4 --relax-steps 99 --fix-symmetry 1e-3") == 0
    assert len(asked) == 7
    for each in asked:
        assert (each["fmax"], each["max_steps"], each["fix_symmetry"], each["fixed"]) == (1e-4, 99, 1e-3, ())


def test_atoms_stay_fixed_in_the_cell_that_stabilisation_made_larger(tmp_path):
    relaxation = RelaxOptions(cell="fixed", fixed=(0,))
    wells = DoubleWells((1, 1, -0.08), coupling=-0.01)
    start = Start("", caesium_chloride(), wells, np.diag([2, 2, 2]), 1e-5, relaxation, (3, 3, 3), TEMPERATURES)
    step = StabiliseStep(relaxation, methods="follow", rounds=1)
    step.run(start, RunRecord([], tmp_path, Unfinished(tmp_path / "unfinished"), quiet=True))
    assert len(start.atoms) == 4
    assert start.relaxation.fixed == tuple(np.flatnonzero(start.atoms.symbols == "Cs"))


@pytest.mark.parametrize("step", ["elastic", "qha --dim 1 1 1", "qha --dim 1 1 1 --qha-tensor"])
def test_steps_of_a_relaxation_are_counted_in_every_step(step, capfd):
    write("hcp.cif", relax(bulk("Cu", "hcp", a=2.55, c=4.1), EMT(), fmax=1e-9).atoms)
    name, _, options = step.partition(" ")
    assert command(f"{name} --mlp emt hcp.cif --relax --relax-steps 1 {options}") == 2
    assert "after 1 steps" in capfd.readouterr().err


def test_elastic_gives_both_ways(relaxed, capfd):
    assert command("elastic --mlp emt Cu.cif --relax --elastic-method both --elastic-strain 1e-3 --dim 4 4 4") == 0
    expected = run_elasticity(relaxed, EMT(), strain=1e-3)
    found = read_yaml("elastic.yaml")
    assert_allclose(found["stress_strain"]["stiffness"], expected.stiffness, atol=1e-2)
    assert_allclose(found["long_waves"]["stiffness"], expected.stiffness, rtol=0.02, atol=0.5)
    assert found["stress_strain"]["born_stable"]
    assert {"elastic_stress_strain", "elastic_long_waves", "force_constants"} <= record("phonopy_mlp-elastic.yaml")[
        "steps"
    ].keys()
    assert "(Hill)" in capfd.readouterr().out


def test_qha_gives_the_files_of_phonopy_qha(relaxed):
    line = f"qha --mlp emt Cu.cif --dim 2 2 2 {SAMPLING} --qha-strain 0.012 --qha-volumes 7 --qha-added 2"
    assert command(f"{line} --qha-form birch_murnaghan --qha-imaginary stabilise --qha-seed 3") == 0
    expected = run_mlp_qha(
        relaxed,
        EMT(),
        supercell_matrix=np.diag([2, 2, 2]),
        temperatures=TEMPERATURES,
        volumes=7,
        strain=0.012,
        most_added=2,
        mesh=(3, 3, 3),
        eos="birch_murnaghan",
    )
    found = np.loadtxt("volume-temperature.dat")
    assert_allclose(found[: len(TEMPERATURES), 1], expected.volume, rtol=1e-6)
    assert {"e-v.dat", "thermal_expansion.dat", "helmholtz-volume.pdf", "qha.pdf", "qha_volumes.yaml"} <= files()
    assert record("phonopy_mlp-qha.yaml")["settings"]["step"]["seed"] == 3
    step = record("phonopy_mlp-qha.yaml")["steps"]["qha"]
    assert step["audit_trail"] is None
    assert_allclose(step["alpha (1e-6/K)"][-1], 1e6 * expected.linear_expansion[-1], rtol=1e-3)
    for name in ("share_of_mesh_modes_left_out", "unstable_long_waves", "unstable_strains"):
        assert step[name] == [0] * len(expected.points)


@pytest.mark.parametrize("line", ["", "--relax"])
def test_whether_qha_is_of_a_cubic_crystal_is_seen_when_it_is_relaxed(line):
    stretched = bulk("Cu", cubic=True)
    stretched.set_cell(stretched.cell.array * [1, 1, 1.01], scale_atoms=True)
    write("stretched.cif", stretched)
    assert command(f"qha --mlp emt stretched.cif --dim 1 1 1 {SAMPLING} {line}") == 0
    step = record("phonopy_mlp-qha.yaml")["steps"]["qha"]
    assert_allclose(step["alpha (1e-6/K)"], np.array(step["alpha_V (1e-6/K)"]) / 3)


def test_qha_over_lengths(relaxed):
    assert command(f"qha --mlp emt --dim 2 2 2 {SAMPLING} --qha-lengths -5e-3 0 5e-3 1e-2 Cu.cif") == 0
    expected = run_axial_qha(
        relaxed,
        EMT(),
        supercell_matrix=np.diag([2, 2, 2]),
        temperatures=TEMPERATURES,
        strains=[-0.005, 0, 0.005, 0.01],
        mesh=(3, 3, 3),
    )
    found = np.loadtxt("lattice_parameters-temperature.dat")
    assert_allclose(found[: len(TEMPERATURES), 1:4], expected.lengths[: len(found)], rtol=1e-6)
    assert {"anisotropic_qha.pdf", "qha_lattices.yaml"} <= files()
    step = record("phonopy_mlp-qha.yaml")["steps"]["qha"]
    assert step["share_of_mesh_modes_left_out"] == [0.0] * 4
    assert step["unconverged_temperatures"] == 0


def test_qha_as_a_tensor(relaxed):
    assert command(f"qha --mlp emt Cu.cif --relax --dim 2 2 2 {SAMPLING} --qha-tensor") == 0
    expected = compute_expansion_tensor(
        relaxed,
        EMT(),
        compliances=run_elasticity(relaxed, EMT()).compliance,
        supercell_matrix=np.diag([2, 2, 2]),
        temperatures=TEMPERATURES,
        mesh=(3, 3, 3),
    )
    last = read_yaml("expansion_tensor.yaml")["temperatures"][-1]
    assert last["temperature"] == 100
    assert "expansion_tensor.png" in files()
    assert record("phonopy_mlp-qha.yaml")["steps"]["qha"]["share_of_mesh_modes_left_out"] == 0.0
    assert_allclose(last["expansion"], expected.expansion[-1], rtol=1e-3, atol=1e-9)


def test_sscha_gives_files_that_phonopy_reads(relaxed, capfd):
    line = "sscha --mlp emt Cu.cif --relax --dim 2 2 2 --mesh 3 3 3 --sscha 2 --sscha-snapshots 4 --sscha-transient 1"
    assert command(f"{line} --sscha-mixing 0.7 --sscha-seed 3 --sscha-temperatures 100 200") == 0
    phonon = compute_force_constants(make_phonopy(relaxed, np.diag([2, 2, 2])), EMT()).phonon
    settings = {"snapshots": 4, "iterations": 2, "transient": 1, "mixing": 0.7, "seed": 3, "mesh": (3, 3, 3)}
    expected = run_sscha(phonon, EMT(), temperatures=[100, 200], **settings)
    found = read_yaml("sscha.yaml")["temperatures"]
    assert [each["temperature"] for each in found] == [100, 200]
    assert_allclose([each["free_energy"] for each in found], [p.free_energy for p in expected.points], atol=1e-4)
    warm = load("phonopy_sscha-200K.yaml", log_level=0)
    assert_allclose(warm.force_constants, expected.points[1].force_constants, atol=2e-2)
    assert "evaluations of 8 atoms" in capfd.readouterr().out


def test_stabilise_writes_the_crystal_and_its_trail(capfd):
    square = bulk("Cu", "bcc", a=2.9, cubic=True)
    write("bcc.cif", square)
    assert command("stabilise --mlp emt bcc.cif --dim 2 2 2 --stabilise-methods rattle,follow --stabilise-seed 5") == 0
    steps = record("phonopy_mlp-stabilise.yaml")["steps"]["stabilise"]
    assert steps["stable"]
    assert steps["health"]["residual_force"]["sound"]
    assert "imaginary_modes" not in steps["health"]
    assert next(step["method"] for step in steps["trail"] if step["accepted"]) == "relax"
    after = read("stabilised.cif")
    after.calc = EMT()
    assert after.get_potential_energy() / len(after) < _bcc_energy() - 1e-3
    said = capfd.readouterr().out
    assert "Stable" in said
    assert "Health: residual force" in said


def test_settings_of_the_methods_reach_them():
    line = "--stabilise-rattle-sigma 0.02 --stabilise-rattle-carriers --stabilise-md-temperature 7.5"
    options = parse(f"Cu.cif --stabilise {line} --stabilise-md-steps 60 --stabilise-md-held Cu,O".split(), "phonopy")
    assert options.stabilisation.chosen == [
        "follow",
        Rattle(sigma=0.02, carriers_only=True),
        Dynamics(temperature=7.5, steps=60, held=("Cu", "O")),
    ]
    assert parse(["Cu.cif", "--stabilise"], "phonopy").stabilisation.chosen == ["follow", Rattle(), Dynamics()]


def test_settings_of_the_methods_from_a_file():
    Path("settings.yaml").write_text("stabilise_methods: [md, rattle]\nstabilise_md_held: [Zn, O]\nstabilise: true\n")
    options = parse([*expand(["--mlp-config", "settings.yaml"], "run"), "Cu.cif"], "phonopy")
    assert options.stabilisation.chosen == [Dynamics(held=("Zn", "O")), Rattle()]


def test_larger_random_displacements_are_larger():
    write("bcc.cif", bulk("Cu", "bcc", a=2.9, cubic=True))
    line = "stabilise --mlp emt bcc.cif --dim 2 2 2 --relax-cell fixed --stabilise-rounds 1 --stabilise-methods rattle"
    amplitudes = []
    for sigma in ("0.001", "0.002"):
        assert command(f"{line} --stabilise-rattle-sigma {sigma}") == 0
        amplitudes.append(read_yaml("stabilised.yaml")["trail"][1]["amplitude"])
    assert amplitudes[1] == pytest.approx(2 * amplitudes[0])


def test_what_cannot_be_made_stable_is_told_and_may_be_an_error(capfd):
    write("bcc.cif", bulk("Cu", "bcc", a=2.9, cubic=True))
    line = "stabilise --mlp emt bcc.cif --dim 2 2 2 --stabilise-rounds 0"
    assert command(line) == 0
    assert "NOT stable" in capfd.readouterr().out
    told = record("phonopy_mlp-stabilise.yaml")["steps"]["stabilise"]
    for name in ("phonopy_mlp-stabilise.yaml", "stabilised.cif", "stabilised.yaml"):
        Path(name).unlink()
    assert command(f"{line} --stabilise-required") == 2
    assert "not stable" in capfd.readouterr().err
    left = record("phonopy_mlp-stabilise.yaml")["steps"]["stabilise"]
    assert left["unstable_modes"] == told["unstable_modes"] != []
    assert read_yaml("stabilised.yaml")["trail"] == left["trail"] == told["trail"]
    assert len(read("stabilised.cif")) == 2


def test_what_a_run_could_not_make_stable_is_on_disk_before_the_error(capfd):
    write("bcc.cif", bulk("Cu", "bcc", a=2.9, cubic=True))
    line = "run --mlp emt bcc.cif --relax --dim 2 2 2 --stabilise --stabilise-rounds 0 --stabilise-required"
    assert command(line) == 2
    steps = record("phonopy_mlp.yaml")["steps"]
    assert list(steps) == ["relax", "stabilise"]
    assert steps["stabilise"]["trail"] == read_yaml("stabilised.yaml")["trail"]
    assert files() == {
        *("bcc.cif", "relaxed.cif", "stabilised.cif", "stabilised.yaml", "phonopy_mlp.yaml", "phonopy_mlp_unfinished")
    }
    # The record is of no force constants yet: another calculation's are refused as ever.
    Path("phonopy_params.yaml").write_text("of a DFT calculation")
    assert command(line) == 2
    assert "of another calculation" in capfd.readouterr().err


def test_a_step_that_fails_loses_nothing_that_was_finished(capfd):
    fails = "--qha --qha-strain 1e-4 --qha-added 0"
    assert command(f"run --mlp emt Cu.cif --dim 2 2 2 {SAMPLING} -t --eos {fails} --sscha 2") == 2
    assert "no minimum" in capfd.readouterr().err
    assert list(record("phonopy_mlp.yaml")["steps"]) == ["force_constants", "phonopy", "eos"]
    assert {"phonopy_params.yaml", "force_constants.hdf5", "thermal_properties.yaml", "eos.yaml", "eos.png"} <= files()
    assert "sscha.yaml" not in files()


def test_a_command_that_fails_leaves_the_record_of_what_was_finished(capfd):
    assert command("qha --mlp emt Cu.cif --relax --dim 2 2 2 --mesh 3 3 3 --qha-strain 1e-4 --qha-added 0") == 2
    assert list(record("phonopy_mlp-qha.yaml")["steps"]) == ["relax"]
    assert files() == {"relaxed.cif", "phonopy_mlp-qha.yaml", "phonopy_mlp_unfinished"}


def test_a_command_that_fails_leaves_the_record_of_the_results_before(capfd):
    assert command("eos --mlp emt Cu.cif --relax") == 0
    first = record("phonopy_mlp-eos.yaml")
    assert command("eos --mlp failing Cu.cif --relax") == 2
    assert record("phonopy_mlp-eos.yaml") == first


def _bcc_energy() -> float:
    square = relax(bulk("Cu", "bcc", a=2.9, cubic=True), EMT(), fix_symmetry=1e-3)
    return square.energy / len(square.atoms)


def test_a_run_may_take_all_steps(capfd):
    steps = "--stabilise --eos --elastic --qha --sscha 2 --sscha-snapshots 3 --sscha-transient 0"
    assert command(f"run --mlp emt Cu.cif --dim 2 2 2 {SAMPLING} {steps}") == 0
    done = record("phonopy_mlp.yaml")["steps"]
    assert list(done) == ["stabilise", "force_constants", "phonopy", "eos", "elastic_stress_strain", "qha", "sscha"]
    assert {"stabilised.cif", "eos.yaml", "elastic.yaml", "volume-temperature.dat", "sscha.yaml"} <= files()
    assert {"phonopy_params.yaml", "force_constants.hdf5", "mesh.yaml"} <= files()
    assert "phonopy_mlp_unfinished" not in files()
    capfd.readouterr()
    shutil.copy("phonopy_mlp.yaml", "record.yaml")
    assert command("run --mlp-config record.yaml") == 0
    assert record("phonopy_mlp.yaml")["settings"] == record("record.yaml")["settings"]
    assert record("phonopy_mlp.yaml")["steps"]["qha"]["V (A^3)"] == done["qha"]["V (A^3)"]


def test_a_command_is_repeated_from_its_record():
    assert command("eos --mlp emt Cu.cif --relax --eos-strain 0.01") == 0
    first = record("phonopy_mlp-eos.yaml")
    Path("phonopy_mlp-eos.yaml").rename("record.yaml")
    assert command("eos --mlp-config record.yaml") == 0
    assert record("phonopy_mlp-eos.yaml")["settings"] == first["settings"]


def test_supercell_and_tolerance_of_a_phonopy_yaml_are_those_of_a_step():
    assert command("run --mlp emt Cu.cif --dim 3 3 3 --tolerance 1e-3") == 0
    assert command("sscha --mlp emt phonopy_params.yaml --mesh 3 3 3 --sscha 2 --sscha-snapshots 3") == 0
    settings = record("phonopy_mlp-sscha.yaml")["settings"]
    assert (np.diag(settings["supercell_matrix"]).tolist(), settings["symmetry_tolerance"]) == ([3, 3, 3], 1e-3)
    assert len(load("phonopy_sscha-300K.yaml", log_level=0).supercell) == 27
    assert command("elastic --mlp emt phonopy_params.yaml --relax --elastic-method long-waves --dim 2 2 2") == 0
    assert np.diag(record("phonopy_mlp-elastic.yaml")["settings"]["supercell_matrix"]).tolist() == [2, 2, 2]


def test_a_record_of_another_command_is_refused(capfd):
    assert command("relax --mlp emt Cu.cif") == 0
    assert command("run --mlp-config phonopy_mlp-relax.yaml") == 2
    assert "it is of 'phonopy-mlp relax', and not of 'run'" in capfd.readouterr().err


def test_phonopys_failure_comes_before_hours_of_other_steps(capfd):
    assert command(f"run --mlp emt Cu.cif --dim 2 2 2 {SAMPLING} --td --cutoff-freq 0.1 --eos") == 1
    assert list(record("phonopy_mlp.yaml")["steps"]) == ["force_constants"]
    assert "eos.yaml" not in files()


def test_a_dry_run_does_no_step(capfd):
    assert command("run --mlp emt Cu.cif --dim 2 2 2 --stabilise --qha --dry-run") == 0
    assert "Only force constants" in capfd.readouterr().out
    assert files() == set()


@pytest.mark.filterwarnings("ignore:Warning. Point group symmetries")
def test_phonons_follow_the_crystal_that_became_stable():
    write("bcc.cif", bulk("Cu", "bcc", a=2.9, cubic=True))
    assert command("run --mlp emt bcc.cif --dim 2 2 2 --stabilise --mesh 3 3 3") == 0
    stable, phonon = read("stabilised.cif"), load("phonopy_params.yaml", log_level=0)
    assert_allclose(phonon.unitcell.volume / len(phonon.unitcell), stable.get_volume() / len(stable), rtol=1e-4)
    assert phonon.supercell.volume == pytest.approx(phonon.unitcell.volume * np.linalg.det(phonon.supercell_matrix))


BAD = {
    "eos: strain": ("eos --eos-strain 0", "must be positive"),
    "eos: points": ("eos --eos-points 3", "at least 7"),
    "eos: no minimum": ("eos --eos-strain 0.01 squeezed.cif", "larger volumes"),
    "eos: tolerance": ("eos --tolerance 0", "must be positive"),
    "eos: supercell": ("eos --dim 2 2 2", "unrecognized arguments"),
    "elastic: strain": ("elastic --elastic-strain 1", "at most"),
    "elastic: strain of none": ("elastic --elastic-method long-waves --elastic-strain 0.002", "no cell is strained"),
    "elastic: not at rest": ("elastic squeezed.cif", "Relax the cell first"),
    "qha: volumes": ("qha --qha-volumes 4", "odd number"),
    "qha: strain": ("qha --qha-strain 2", "between 0 and 0.2"),
    "qha: added": ("qha --qha-added -1", "cannot be negative"),
    "qha: seed": ("qha --qha-imaginary stabilise --qha-seed -1", "cannot be negative"),
    "qha: seed of nothing": ("qha --qha-seed 3", "--qha-seed without --qha-imaginary stabilise"),
    "qha: temperatures": ("qha --tmin 100", "ascend from 0 K"),
    "qha: step of temperatures": ("qha --tstep 0", "step positive"),
    "elastic: tolerance": ("elastic --tolerance -1", "must be positive"),
    "qha: lengths": ("qha --qha-lengths 0 0.1", "at least 4"),
    "qha: words": ("qha --qha-lengths a b", "'a' is no number"),
    "qha: two ways": ("qha --qha-tensor --qha-lengths -0.01 0 0.01 0.02", "Choose one"),
    "qha: two ways, one by its default": ("qha --qha-tensor --qha-strain 0.015", "--qha-strain and --qha-tensor"),
    "qha: too small a strain": ("qha --dim 2 2 2 --qha-strain 1e-4 --qha-added 0 --mesh 3 3 3", "no minimum"),
    "sscha: snapshots": ("sscha --sscha-snapshots 1", "at least two"),
    "sscha: iterations": ("sscha --sscha 0", "at least one must count"),
    "sscha: mixing": ("sscha --sscha-mixing 2", "at most 1"),
    "sscha: temperatures": ("sscha --sscha-temperatures -1", "0 K or more"),
    "stabilise: method": ("stabilise --stabilise-methods pray", "no such way"),
    "stabilise: rounds": ("stabilise --stabilise-rounds -1", "fewer than none"),
    "stabilise: rattle without it": (
        "stabilise --stabilise-methods follow,md --stabilise-rattle-sigma 0.01",
        "rattle is not among them",
    ),
    "stabilise: md without it": ("stabilise --stabilise-methods follow --stabilise-md-held Cu", "md is not among them"),
    "stabilise: held without it": ("run --dim 2 2 2 --stabilise-md-steps 40", "without --stabilise"),
    "stabilise: symmetry": ("stabilise --fix-symmetry", "modes leave symmetry"),
    "relaxation that is none": ("eos --relax-fmax 1e-6", "--relax-fmax without --relax"),
    "supercell": ("qha --dim 2 2", "3 or 9 integers"),
    "run: option without its step": ("run --dim 2 2 2 --eos-strain 0.01", "--eos-strain without --eos"),
    "run: seed without its step": ("run --dim 2 2 2 --sscha-seed 3", "--sscha-seed without --sscha"),
    "eos: pressure": ("eos --relax --pressure 1", "--eos with --pressure"),
    "eos: pressure of a stabilisation": ("run --stabilise --pressure -1e-1 --eos", "--eos with --pressure"),
    "elastic: pressure": ("elastic --elastic-method long-waves --relax --pressure 1", "without stress"),
    "elastic: symmetry": ("elastic --relax --fix-symmetry", "--elastic with --fix-symmetry"),
    "qha: pressure and symmetry": ("qha --relax --pressure 1 --fix-symmetry", "with --pressure and --fix-symmetry"),
    "qha: cell": ("qha --relax --relax-cell constant-volume", "--qha with --relax-cell"),
    "qha: atoms": ("run --dim 2 2 2 --relax --fix-atoms 1 --qha", "--qha with --fix-atoms"),
    "qha: tensor": ("qha --qha-tensor --relax --fix-atoms 1", "--qha-tensor with --fix-atoms"),
    "committee: cell": ("committee --relax --relax-cell fixed --committee twice", "its own free minimum"),
    "run: settings before work": ("run --dim 2 2 2 --eos --eos-strain 0", "must be positive"),
    "run: mesh": ("run --dim 2 2 2 --qha --mesh 20", "it needs a plain one"),
    "run: primitive cell": ("run --dim 2 2 2 --stabilise --pa P", "the cell may grow"),
    "run: calculator without stress": ("run --dim 2 2 2 --stabilise --mlp no-stress", "stress"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_and_status_2(case, capfd):
    squeezed = bulk("Cu", a=3.4)
    write("squeezed.cif", squeezed)
    line, message = BAD[case]
    before = files()
    structure = "" if "squeezed.cif" in line else "-c Cu.cif" if line.startswith("run") else "Cu.cif"
    model = "" if "--mlp" in line else "--mlp emt"
    name, _, rest = line.partition(" ")
    assert command(f"{name} {model} {structure} {rest}") == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert files() - before <= {"phonopy_mlp_unfinished"}


def test_forces_from_a_file_exclude_steps(capfd):
    assert command("run --mlp emt Cu.cif --dim 2 2 2") == 0
    for option in ("--eos", "--elastic", "--qha", "--sscha 3", "--stabilise"):
        assert command(f"run --mlp emt phonopy_params.yaml {option}") == 2
        assert "has its forces already" in capfd.readouterr().err


def test_every_option_of_a_step_is_one_of_a_run():
    of_run = {name for action in own_parser("phonopy")._actions for name in action.option_strings}
    sampling = {"--mesh", "--tmin", "--tmax", "--tstep", "--tolerance", "-q", "--quiet"}  # phonopy's own in a run
    for name in COMMANDS:
        own = {option for action in make_parser(name)._actions for option in action.option_strings}
        assert own <= of_run | sampling

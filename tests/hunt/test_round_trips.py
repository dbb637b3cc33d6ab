"""Every file that is written is read back, by the reader that there is for it, with what was in it."""

import math
import sys
from contextlib import chdir
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import phonopy
import pytest
import torch
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.db import connect
from ase.units import GPa
from hypothesis import example, given
from hypothesis import strategies as st
from lattices import ScalingSprings
from numpy.testing import assert_allclose, assert_array_equal
from phonopy.cui.phonopy_qha_script import main as phonopy_qha
from phonopy.qha.eos import get_eos
from tiny_models import pack_variant

from mace_mof_calc.frames import Labels, attach_labels, get_labels, read_frames, write_frames
from mace_mof_calc.models.architecture import build_module
from mace_mof_calc.models.cards import read_card
from mace_mof_calc.models.packed import Fingerprint, read_packed, save_packed, write_fingerprint
from mace_mof_calc.training.job import Job, Part
from mace_mof_calc.training.manifest import Dropped, read_manifest
from phonopy_mlp.anharmonic import run_sscha
from phonopy_mlp.anharmonic.output import name_file, write_sscha
from phonopy_mlp.cli.config import expand
from phonopy_mlp.committee.compute import run_committee
from phonopy_mlp.committee.output import write_committee
from phonopy_mlp.compare.reading import read_phonons
from phonopy_mlp.elasticity import run_elasticity
from phonopy_mlp.eos import fit_eos, run_eos
from phonopy_mlp.errors import StructureError
from phonopy_mlp.files import file_digest, write_yaml
from phonopy_mlp.force_constants import compute_force_constants, displace, force_constants_from_dataset, make_phonopy
from phonopy_mlp.inputs import read_input
from phonopy_mlp.output import write_cif, write_force_constants
from phonopy_mlp.provenance import Provenance, plain, read_record, write_provenance
from phonopy_mlp.qha.output import write_qha
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.relax import relax
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.screen.entries import Entry, find_structures
from phonopy_mlp.screen.execution import read_outcome, write_outcome
from phonopy_mlp.screen.store import Result, Store
from phonopy_mlp.screen.task import Outcome, Task
from phonopy_mlp.stability import trail
from phonopy_mlp.structures import read_structure
from phonopy_mlp.symmetry import SpaceGroup
from phonopy_mlp.unfinished import Unfinished

from .crystals import EMT_METALS, MINI_ELEMENTS, PROTOTYPES, crystals, fewer, floats, rewritings

pytestmark = [
    # Random crystals hold loose molecules, as it happens, and their supercells have another symmetry.
    pytest.mark.filterwarnings("ignore::phonopy_mlp.errors.StructureWarning"),
    pytest.mark.filterwarnings("ignore:Warning. Point group symmetries"),
    pytest.mark.filterwarnings("ignore:PhonopyQHA is deprecated"),
    # symfc sets it.
    pytest.mark.filterwarnings("ignore:The recursion limit will not be reset"),
]

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
MAPPINGS = st.dictionaries(TEXT, PLAIN, max_size=4)


@given(data=st.data())
def test_a_cif_holds_the_crystal(data, tally, fresh):
    atoms = data.draw(crystals())
    written = data.draw(rewritings(atoms))(atoms)
    tally("round trip", "CIF")
    folder = fresh()
    write_cif(written, folder / "a.cif")
    read = read_structure(folder / "a.cif")
    assert_array_equal(read.numbers, written.numbers)
    # ASE's reader turns the crystal.
    assert_allclose(read.cell.cellpar(), written.cell.cellpar(), rtol=1e-12)
    away = read.get_scaled_positions() - written.get_scaled_positions()
    assert np.abs((away - np.round(away)) @ read.cell.array).max() < 1e-11


@fewer(2)
@given(data=st.data())
def test_force_constants_are_read_as_they_were_written(data, tally, fresh):
    atoms = data.draw(st.sampled_from(list(PROTOTYPES.values())) | crystals(EMT_METALS, most=2, edge=(4.0, 5.0)))
    atoms = data.draw(rewritings(atoms, most=1))(atoms)
    atoms.set_masses(data.draw(st.lists(floats(1, 200), min_size=len(atoms), max_size=len(atoms))))
    tally("round trip", "phonopy_params.yaml, force_constants.hdf5")
    folder = fresh()
    phonon = make_phonopy(atoms, np.diag([2, 1, 2]), primitive_matrix="P", is_symmetry=data.draw(st.booleans()))
    snapshots = data.draw(st.sampled_from([None, 3]))
    displace(phonon, data.draw(floats(0.001, 0.02)), number_of_snapshots=snapshots, random_seed=1)
    result = compute_force_constants(phonon, EMT())
    write_force_constants(result, folder)
    given = read_input(folder / "phonopy_params.yaml")
    assert given.has_forces
    assert_allclose(given.atoms.get_masses(), atoms.get_masses(), atol=1e-6)
    assert_allclose(given.atoms.cell.array, atoms.cell.array, atol=1e-14)
    assert_array_equal(given.supercell_matrix, phonon.supercell_matrix)
    theirs = phonopy.load(
        folder / "phonopy_params.yaml",
        force_constants_filename=folder / "force_constants.hdf5",
        symmetrize_fc=False,
        log_level=0,
    )
    assert_array_equal(theirs.force_constants, result.force_constants)
    assert_allclose(theirs.forces, phonon.forces, atol=1e-15)
    assert_allclose(theirs.displacements, phonon.displacements, atol=1e-15)
    assert_array_equal(read_phonons(folder).force_constants, result.force_constants)
    phonon.dataset = given.dataset
    again = force_constants_from_dataset(phonon).force_constants
    assert_allclose(again, result.force_constants, atol=1e-9 * np.abs(result.force_constants).max())


@given(settings=MAPPINGS, steps=MAPPINGS, words=st.lists(st.text()), array=st.lists(NUMBERS))
def test_a_record_says_what_was_recorded(settings, steps, words, array, tally, fresh):
    tally("round trip", "provenance")
    folder = fresh()
    given = Provenance(
        command=tuple(words),
        started=datetime.now(UTC),
        settings={"own": settings, "array": np.array(array), "path": Path("a b")},
        input={},
        calculator={},
        steps=steps,
        warnings=tuple(words),
    )
    write_provenance(given, folder / "phonopy_mlp.yaml")
    found = read_record(folder / "phonopy_mlp.yaml")
    assert found["settings"] == {"own": settings, "array": array, "path": "a b"}
    assert (found["steps"], found["command"], found["warnings"]) == (steps, words, words)


@given(number=st.floats())
def test_every_number_is_read_as_it_was_written(number, tally, fresh):
    tally("round trip", "numbers in YAML")
    folder = fresh()
    write_yaml(folder / "a.yaml", {"number": number, "array": plain(np.array([number]))})
    read = yaml.safe_load((folder / "a.yaml").read_text())
    for found in (read["number"], read["array"][0]):
        assert isinstance(found, float)
        assert found == number or (math.isnan(found) and math.isnan(number))


OPTIONS = st.fixed_dictionaries(
    {"structure": st.sampled_from(["a.cif", "a b.cif"]), "mlp": st.sampled_from(["mini", "emt"])},
    optional={
        "dim": st.lists(st.integers(1, 9), min_size=3, max_size=3),
        "relax": st.booleans(),
        "relax-fmax": floats(1e-9, 1.0),
        "pressure": floats(-5, 5),
        "fix-atoms": st.lists(st.integers(1, 9), min_size=1, max_size=3),
        "committee": st.lists(st.sampled_from(["mof0", "mini"]), min_size=1, max_size=2),
        "mesh": st.lists(st.integers(1, 9), min_size=3, max_size=3),
        "t": st.booleans(),
        "tmax": st.integers(0, 900),
    },
)
WITH_COMMAS = ("fix-atoms", "committee")


@given(options=OPTIONS)
def test_options_in_a_file_are_those_of_a_command_line(options, tally, fresh):
    tally("round trip", "options in YAML")
    folder = fresh()
    words = []
    for name, value in options.items():
        option = f"-{name}" if len(name) == 1 else f"--{name}"
        if name == "structure":
            words.append(value)
        elif name in WITH_COMMAS:
            words.append(f"{option}={','.join(map(str, value))}")
        elif isinstance(value, list):
            words += [option, *map(str, value)]
        elif value is True:
            words.append(option)
        elif value is not False:
            words.append(f"{option}={value}")
    write_yaml(folder / "own.yaml", options)
    assert expand(["--mlp-config", str(folder / "own.yaml")], "run") == words
    write_yaml(folder / "record.yaml", {"phonopy_mlp": {"command": ["phonopy", *words]}})
    assert expand(["--mlp-config", str(folder / "record.yaml")], "run") == words


@given(data=st.data())
def test_parts_that_are_kept_are_those_that_are_found(data, tally, fresh):
    tally("round trip", "unfinished")
    folder = fresh()
    arrays = data.draw(
        st.dictionaries(st.sampled_from(["forces", "energy", "slope"]), st.lists(NUMBERS) | NUMBERS, min_size=1)
    )
    question = data.draw(MAPPINGS)
    unfinished = Unfinished(folder / "unfinished", model="emt")
    section = unfinished.section(EMT(), question=question)
    section.keep("part", **arrays)
    found = Unfinished(folder / "unfinished", model="emt").section(EMT(), question=question).get("part")
    # With nothing else among them: what is found is handed on by name.
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        assert_array_equal(found[name], value)
    assert Unfinished(folder / "unfinished", model="lj").section(EMT(), question=question).get("part") is None
    unfinished.remove()
    assert not (folder / "unfinished").exists()


WORDS = st.text() | st.sampled_from(["12", "1e5", "nan", "True", "False", "1_0"])
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "energy_at_minimum": floats(-1e6, 1e6),
        "volume_change": NUMBERS,
        "stable": st.booleans(),
        "relax_steps": st.integers(0, 2**31),
        "group_relaxed": st.sampled_from(["Fm-3m (225)", "P1 (1)"]),
        "domain": st.sampled_from(["", "contact,element"]),
    },
)
OUTCOMES = st.builds(
    Outcome,
    state=st.sampled_from(["done", "failed", "lost"]),
    question=st.just("question"),
    reason=WORDS,
    seconds=floats(0, 1e6),
    structure=st.sampled_from(["", "relaxed.cif"]),
    values=VALUES,
    record=MAPPINGS,
    files=st.dictionaries(st.sampled_from(["FORCE_CONSTANTS", "phonopy_params.yaml", "žlutý.csv"]), TEXT, max_size=2),
)


@given(outcome=OUTCOMES)
def test_an_outcome_is_read_as_it_was_written(outcome, tally, fresh):
    tally("round trip", "task.json")
    folder = fresh()
    task = Task("a", "relax", "a.cif", str(folder), (), "question", "phonopy_mlp-relax.yaml", "relaxed.cif")
    for name in outcome.files:
        (folder / name).touch()
    if outcome.structure:
        (folder / "relaxed.cif").write_text("a crystal")
        files = {**outcome.files, "relaxed.cif": file_digest(folder / "relaxed.cif")}
        outcome = replace(outcome, structure=str(folder / outcome.structure), files=files)
    write_outcome(task, outcome)
    assert read_outcome(task) == replace(outcome, values=plain(outcome.values), record=plain(outcome.record))
    assert read_outcome(replace(task, question="another")) is None
    if outcome.structure:
        (folder / "relaxed.cif").write_text("another")
        assert read_outcome(task) is None
    elif outcome.files:
        (folder / min(outcome.files)).unlink()
        assert read_outcome(task) is None


FILE_NAMES = WORDS.filter(lambda name: 0 < len(name) < 60 and not set("/\0") & set(name) and name[0] != ".")


@given(outcome=OUTCOMES, name=FILE_NAMES)
def test_a_row_of_the_database_has_what_a_task_found(outcome, name, tally, fresh):
    tally("round trip", "database rows")
    folder = fresh()
    (folder / "cifs").mkdir()
    write_cif(bulk("Cu"), folder / "cifs" / f"{name}.cif")
    ((own, path),) = find_structures([folder / "cifs"], folder / "screen").items()
    store = Store(str(folder / "own.db"))
    entry = Entry(own, path, file_digest(path))
    outcome = replace(outcome, structure="")
    for _ in range(2):  # the second takes the place of the first
        store.write(Result(entry, {"relax": outcome}), finished=True)
    (row,) = connect(folder / "own.db").select()
    assert (row.name, row.state, len(row.toatoms())) == (own, outcome.state, 1)
    reason = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in outcome.reason)
    if outcome.state != "done":
        # ASE refuses words that are numbers or flags, and so such a reason is in quotes.
        assert row.error in (reason, f"'{reason}'")
    expected = dict(outcome.values)
    energy = expected.pop("energy_at_minimum", None)
    if energy is not None:
        assert row.energy == float(energy)
    for key, value in expected.items():
        assert row.get(key) == value
    assert row.data["steps"]["relax"] == plain(asdict(replace(outcome, reason=reason)))


@given(names=st.lists(st.sampled_from(["Cu", "Cu ", "C u", "C_u", "a.b", None]), min_size=2, max_size=4))
def test_every_structure_of_a_database_is_screened_or_refused(names, tally, fresh):
    tally("round trip", "structures of a database")
    folder = fresh()
    with connect(folder / "own.db") as database:
        for k, name in enumerate(names):
            atoms = bulk("Cu", a=3.5 + 0.01 * k)
            database.write(atoms, **({} if name is None else {"name": name}))
    named = [name.strip().replace(" ", "_") for name in names if name is not None]
    if len(set(named)) < len(named):
        with pytest.raises(StructureError, match="Two structures are called"):
            find_structures([folder / "own.db"], folder / "screen")
        return
    found = find_structures([folder / "own.db"], folder / "screen")
    volumes = sorted(read_structure(path).get_volume() for path in found.values())
    assert_allclose(volumes, [(3.5 + 0.01 * k) ** 3 / 4 for k in range(len(names))], rtol=1e-6)


@pytest.fixture
def small():
    return relax(bulk("Cu"), EMT(), fmax=1e-4).atoms


@given(
    eos=st.sampled_from(["vinet", "murnaghan", "birch_murnaghan"]),
    strain=floats(0.001, 0.05),
    modulus=floats(1, 200),
    derivative=floats(2.5, 8),
    volume=floats(10, 5000),
)
def test_an_equation_of_state_is_found_in_its_energies(eos, strain, modulus, derivative, volume, tally):
    tally("round trip", "fits")
    volumes = 1.0003 * volume * (1 + np.linspace(-strain, strain, 7)) ** 3
    found = fit_eos(volumes, get_eos(eos)(volumes, np.array([-3.0, modulus * GPa, derivative, volume])), eos)
    # The smallest energies, 1e-6 of a volume in eV/A^3, have ten digits behind the energy of 3 eV.
    assert found.bulk_modulus == pytest.approx(modulus, rel=1e-4)
    assert found.volume == pytest.approx(volume, rel=1e-6)


@fewer(5)
@given(eos=st.sampled_from(["vinet", "murnaghan", "birch_murnaghan"]), strain=floats(0.005, 0.03))
def test_an_equation_of_state_can_be_fitted_again_from_its_file(eos, strain, small, tally, fresh):
    tally("round trip", "eos.yaml")
    folder = fresh()
    result = run_eos(small, EMT(), eos=eos, strain=strain)
    write_yaml(folder / "eos.yaml", result.describe())
    found = FinishedRun(folder, {}, None).read_yaml("eos.yaml")
    assert found == plain(result.describe())
    volumes, energies = (np.array([point[name] for point in found["points"]]) for name in ("volume", "energy"))
    assert fit_eos(volumes, energies, eos).bulk_modulus == pytest.approx(found["bulk_modulus"][0], rel=1e-6)


@fewer(5)
@given(strain=floats(0.0005, 0.005))
def test_elastic_constants_are_read_as_they_were_written(strain, small, tally, fresh):
    tally("round trip", "elastic.yaml")
    folder = fresh()
    result = run_elasticity(small, EMT(), strain=strain, fmax=1e-4)
    write_yaml(folder / "elastic.yaml", {"stress_strain": result.describe()})
    found = FinishedRun(folder, {}, None).read_yaml("elastic.yaml")["stress_strain"]
    assert found == plain(result.describe())
    assert_array_equal(found["stiffness"], result.stiffness)


@fewer(3)
@given(data=st.data())
def test_phonopy_qha_finds_the_same_expansion_in_its_input(data, tally, fresh):
    tally("round trip", "files of phonopy-qha")
    folder = fresh()
    calculator = ScalingSprings(
        k0=data.draw(floats(1.5, 3)), v0=12.0, b0=data.draw(floats(60, 160)) * GPa, gamma=data.draw(floats(0.5, 2.5))
    )
    atoms = bulk("Cu", a=np.cbrt(48)).repeat(data.draw(st.sampled_from([(1, 1, 1), (1, 1, 2)])))
    eos = data.draw(st.sampled_from(["vinet", "birch_murnaghan", "murnaghan"]))
    result = run_mlp_qha(
        atoms,
        calculator,
        supercell_matrix=np.diag([2, 2, 2]),
        mesh=(3, 3, 3),
        temperatures=np.arange(0, 301, 50),
        volumes=5,
        strain=0.02,
        eos=eos,
    )
    write_qha(result, folder)
    thermal = sorted(path.name for path in folder.glob("thermal_properties-*.yaml"))
    tables = ["volume-temperature.dat", "thermal_expansion.dat", "bulk_modulus-temperature.dat"]
    written = {name: np.loadtxt(folder / name) for name in tables}
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["phonopy-qha", "e-v.dat", *thermal, "--eos", eos, "--tmax", "300"])
        with pytest.raises(SystemExit, match="0"):
            phonopy_qha()
    for name, expected in written.items():
        found = np.loadtxt(folder / name)
        # phonopy-qha leaves the last temperatures out; e-v.dat has ten decimals.
        assert len(found) >= len(expected) - 2
        assert_allclose(found, expected[: len(found)], rtol=1e-5, atol=1e-9)


@cache
def anharmonic():
    phonon = compute_force_constants(make_phonopy(PROTOTYPES["L1_0"], np.diag([2, 1, 1])), EMT()).phonon
    return phonon, run_sscha(phonon, EMT(), temperatures=[100, 200], snapshots=4, iterations=2, mesh=(2, 2, 2))


@fewer(2)
@given(temperatures=st.lists(floats(0, 2000), min_size=2, max_size=2, unique=True), scale=floats(-2, 2))
@example(temperatures=[300.0, 300.0000001], scale=1.0)
def test_self_consistent_force_constants_are_those_that_phonopy_reads(temperatures, scale, tally, fresh):
    tally("round trip", "files of self-consistent phonons")
    folder = fresh()
    phonon, result = anharmonic()
    points = tuple(
        replace(point, temperature=temperature, force_constants=scale * point.force_constants)
        for point, temperature in zip(result.points, temperatures, strict=True)
    )
    write_sscha(replace(result, points=points), phonon, folder)
    found = yaml.safe_load((folder / "sscha.yaml").read_text())
    assert [each["temperature"] for each in found["temperatures"]] == temperatures
    files = sorted(folder.glob("phonopy_sscha-*K.yaml"))
    assert len(files) == 2
    for point in points:
        read = phonopy.load(folder / name_file(point.temperature), symmetrize_fc=False, log_level=0)
        assert_allclose(read.force_constants, point.force_constants, atol=1e-12)


@cache
def committee():
    return run_committee(
        bulk("Cu"),
        [ScalingSprings(k0=k, v0=12.0, b0=100 * GPa, gamma=1.5) for k in (2.0, 2.4)],
        supercell_matrix=np.diag([2, 2, 2]),
        mesh=(3, 3, 3),
        temperatures=[0, 300],
        eos=True,
    )


@given(names=st.lists(st.text(min_size=1), min_size=2, max_size=2))
def test_tables_of_a_committee_have_a_name_for_each_column(names, tally, fresh):
    tally("round trip", "files of a committee")
    folder = fresh()
    result = committee()
    members = tuple(
        replace(member, description={"name": name}) for member, name in zip(result.members, names, strict=True)
    )
    files = write_committee(replace(result, members=members), folder)
    run = FinishedRun(folder, {}, None)
    assert [each["name"] for each in run.read_yaml("committee.yaml")["members"]] == names
    for name in files:
        if name.endswith(".dat"):
            columns = run.read_columns(name)
            assert columns is not None
    assert_allclose(run.read_columns("committee_thermal.dat")["T_K"], [0, 300])


GROUPS = st.builds(SpaceGroup, st.sampled_from(["P1", "Fm-3m", "C2/c"]), st.integers(1, 230), floats(1e-5, 1e-2))
TRIPLES = st.tuples(*[NUMBERS] * 3)


@given(
    step=st.builds(
        trail.Step,
        method=st.sampled_from(["relax", "follow", "rattle", "md"]),
        accepted=st.booleans(),
        reason=st.text(),
        qpoint=st.none() | TRIPLES,
        band=st.none() | st.integers(0, 500),
        frequency=st.none() | NUMBERS,
        direction=st.none() | TRIPLES,
        strain=st.none() | st.tuples(*[TRIPLES] * 3),
        amplitude=st.none() | NUMBERS,
        seed=st.none() | st.integers(0, 2**63),
        energy_before=floats(-10, 10),
        energy_after=st.none() | floats(-10, 10),
        groups_before=st.tuples(GROUPS, GROUPS),
        groups_after=st.just(()) | st.tuples(GROUPS, GROUPS),
        atoms_before=st.integers(1, 999),
        atoms_after=st.none() | st.integers(1, 999),
        atoms_per_formula=st.integers(1, 99),
    )
)
def test_a_step_of_an_audit_trail_is_read_as_it_was_written(step, tally, fresh):
    tally("round trip", "audit trail")
    folder = fresh()
    write_yaml(folder / "stabilised.yaml", {"trail": [step.describe()]})
    (found,) = yaml.safe_load((folder / "stabilised.yaml").read_text())["trail"]
    assert found["qpoint"] == (None if step.qpoint is None else list(step.qpoint))
    assert found["energy_per_atom"] == [step.energy_before, step.energy_after]
    assert (found["reason"] or "", found["seed"], found["atoms"]) == (
        step.reason,
        step.seed,
        [step.atoms_before, step.atoms_after],
    )
    assert found["space_groups_before"] == [str(group) for group in step.groups_before]


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "))


@st.composite
def frames(draw):
    atoms = draw(crystals())
    count = len(atoms)
    atoms.pbc = draw(st.booleans())
    atoms.info |= draw(st.fixed_dictionaries({"name": PRINTABLE, "source": PRINTABLE, "kind": PRINTABLE}))
    forces = np.array(draw(st.lists(floats(-99, 99), min_size=3 * count, max_size=3 * count))).reshape(-1, 3)
    stress = np.array(draw(st.tuples(*[floats(-1, 1)] * 6))) if atoms.pbc.all() else None
    return attach_labels(atoms, Labels(draw(floats(-1e5, 1e5)), forces, stress))


@given(given=st.lists(frames(), min_size=1, max_size=3))
def test_frames_keep_their_labels_and_words(given, tally, fresh):
    tally("round trip", "frames")
    folder = fresh()
    write_frames(folder / "a.extxyz", given)
    for read, atoms in zip(read_frames(folder / "a.extxyz"), given, strict=True):
        for word in ("name", "source", "kind"):
            assert read.info[word] == atoms.info[word]
        assert_array_equal(read.numbers, atoms.numbers)
        assert_array_equal(read.pbc, atoms.pbc)
        # Extended XYZ of ASE has eight decimals.
        assert_allclose(read.positions, atoms.positions, atol=1e-8)
        assert_allclose(read.cell.array, atoms.cell.array, rtol=1e-9)
        found, labels = get_labels(read), get_labels(atoms)
        assert found.energy == labels.energy
        assert_allclose(found.forces, labels.forces, atol=1e-8)
        assert (found.stress is None) == (labels.stress is None)
        if labels.stress is not None:
            assert_allclose(found.stress, labels.stress, rtol=1e-12, atol=1e-300)


@given(dropped=st.lists(st.builds(Dropped, TEXT, TEXT)), settings=MAPPINGS, warnings=st.lists(TEXT), atoms=crystals())
def test_a_manifest_says_what_was_done(dropped, settings, warnings, atoms, tally, fresh):
    tally("round trip", "manifests")
    folder = fresh()
    write_frames(folder / "in.extxyz", [atoms])
    job = Job(folder / "out.extxyz", "label", [folder / "in.extxyz"], settings)
    part = job.do("one", lambda: Part([atoms], dropped))
    assert part.dropped == tuple(dropped)
    manifest = job.finish([part], warnings)
    assert read_manifest(folder / "out.extxyz") == manifest
    assert (manifest.settings, manifest.dropped, manifest.warnings) == (settings, tuple(dropped), tuple(warnings))
    del job
    assert Job(folder / "out.extxyz", "label", [folder / "in.extxyz"], settings).finished == manifest


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return read_packed(pack_variant(tmp_path_factory.mktemp("packed"), 1))


@fewer(5)
@given(
    words=st.fixed_dictionaries(dict.fromkeys(("title", "level_of_theory", "licence", "citation", "notes"), TEXT)),
    energy=NUMBERS,
    rows=st.lists(
        st.fixed_dictionaries(
            {"quantity": TEXT, "result": TEXT, "criterion": st.none() | TEXT, "met": st.none() | st.booleans()}
        ),
        max_size=2,
    ),
)
def test_a_packed_model_holds_its_card_and_weights(words, energy, rows, packed, tally, fresh):
    tally("round trip", "packed models")
    folder = fresh()
    card = {
        "name": "own",
        "dispersion_included": False,
        "elements": list(MINI_ELEMENTS),
        "curated_elements": [],
        "doi": "",
        "mace_version": "0.3.14",
        **words,
        "validation": rows,
    }
    module = build_module(packed.hyperparameters, packed.state, dtype=torch.float64)
    path = save_packed(module, folder / "own", card)
    write_fingerprint(path, Fingerprint("MOF-5", energy, abs(energy)))
    found = read_packed(path)
    assert found.hyperparameters == packed.hyperparameters
    assert found.state.keys() == packed.state.keys()
    assert all(torch.equal(found.state[name], tensor) for name, tensor in packed.state.items())
    assert found.fingerprint == Fingerprint("MOF-5", energy, abs(energy))
    assert found.card == read_card(path)
    assert {key: getattr(found.card, key) for key in words} == words
    assert [asdict(row) for row in found.card.validation] == rows

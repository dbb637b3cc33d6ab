"""A command and the functions behind it give the same numbers, whatever the options."""

from contextlib import chdir
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.db import connect
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from phonopy.file_IO import read_force_constants_hdf5

from phonopy_mlp.anharmonic import run_sscha
from phonopy_mlp.cli.main import main
from phonopy_mlp.committee.compute import run_committee
from phonopy_mlp.compare.frequencies import CUT, compare_frequencies
from phonopy_mlp.elasticity import elastic_from_phonons, run_elasticity
from phonopy_mlp.eos import run_eos
from phonopy_mlp.files import write_yaml
from phonopy_mlp.force_constants import compute_force_constants, displace, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.output import write_cif
from phonopy_mlp.phonons import compute_phonons
from phonopy_mlp.provenance import plain, read_record
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.relax import relax
from phonopy_mlp.stability.stabilise import stabilise
from phonopy_mlp.structures import read_structure
from phonopy_mlp.supercell import auto_supercell
from phonopy_mlp.symmetry import symmetrise

from .crystals import PROTOTYPES, fewer, floats, rewritings

pytestmark = pytest.mark.usefixtures("calculators")


@st.composite
def metals(draw, names=tuple(PROTOTYPES), away: float = 0.02) -> Atoms:
    """Draw a metal, with or without its symmetry, written in some way."""
    atoms = PROTOTYPES[draw(st.sampled_from(names))].copy()
    atoms.rattle(draw(st.sampled_from([0.0, away])), seed=draw(st.integers(0, 99)))
    return draw(rewritings(atoms, most=1))(atoms)


def command(folder: Path, atoms: Atoms, *words, mlp: str = "emt") -> Atoms:
    """Run a command on a file, and return what the file holds; its numbers are those of the structure."""
    write_cif(atoms, folder / "metal.cif")
    name, *rest = map(str, words)
    with chdir(folder):
        assert main([name, "--mlp", mlp, "metal.cif", "-q", *rest]) == 0
    return read_structure(folder / "metal.cif")


def read_yaml(path: Path):
    return yaml.safe_load(path.read_text())


def assert_alike(found, expected):
    """Compare nested data: a calculator that has computed something before rounds otherwise."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert_alike(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for own, other in zip(found, expected, strict=True):
            assert_alike(own, other)
    else:
        assert found == (pytest.approx(expected, rel=1e-3, abs=1e-6) if isinstance(expected, float) else expected)


DIMS = st.sampled_from(["2 2 2", "2 1 1", "1 2 3", "2 1 0 -1 1 0 0 0 2", "auto"])


@given(
    atoms=metals(),
    dim=DIMS,
    amplitude=st.none() | floats(0.0005, 0.03),
    signs=st.booleans(),
    diagonal=st.booleans(),
    tolerance=st.sampled_from([None, 1e-5, 1e-3, 0.1]),
    primitive=st.sampled_from(["auto", "P"]),
    raw=st.booleans(),
)
def test_force_constants_are_those_of_the_functions(
    atoms, dim, amplitude, signs, diagonal, tolerance, primitive, raw, tally, fresh, monkeypatch
):
    # phonopy itself, which a run ends with, has its own test below.
    monkeypatch.setattr("phonopy_mlp.cli.run.run_phonopy", lambda *_, **__: 0)
    tally("command and Python", "run")
    folder = fresh()
    words = ["--dim", *dim.split(), "--pa", primitive]
    words += ["--dim-length", "5.5"] if dim == "auto" else []
    words += ["--amplitude", amplitude] if amplitude else []
    words += ["--pm"] if signs else []
    words += [] if diagonal else ["--nodiag"]
    words += ["--tolerance", tolerance] if tolerance else []
    words += ["--no-fc-symmetry"] if raw else []
    given_atoms = command(folder, atoms, "run", *words)
    numbers = [] if dim == "auto" else [int(word) for word in dim.split()]
    matrix = {0: None, 3: np.diag(numbers) if len(numbers) == 3 else None}.get(len(numbers))
    if matrix is None:
        matrix = np.array(numbers).reshape(3, 3) if numbers else auto_supercell(given_atoms, 5.5)
    phonon = make_phonopy(given_atoms, matrix, primitive_matrix=primitive, symprec=tolerance or 1e-5)
    displace(phonon, amplitude or 0.001, is_plusminus=True if signs else "auto", is_diagonal=diagonal)
    expected = compute_force_constants(phonon, EMT(), symmetrise=not raw)
    found = read_force_constants_hdf5(folder / "force_constants.hdf5")
    assert_allclose(found, expected.force_constants, atol=1e-12)
    record = read_record(folder / "phonopy_mlp.yaml")
    assert record["steps"]["force_constants"]["evaluations"] == expected.evaluations
    lowest = compute_commensurate_modes(expected.phonon).lowest
    assert record["steps"]["force_constants"]["lowest_commensurate_frequency"] == pytest.approx(lowest, abs=1e-6)
    assert_array_equal(record["settings"]["supercell_matrix"], matrix)


# Both then do without the symmetry of a mesh that does not have the crystal's.
@pytest.mark.filterwarnings("ignore:Mesh .* is incompatible with")
@fewer(5)
@given(
    atoms=metals(("fcc", "L1_0"), away=0.0),
    mesh=st.tuples(*[st.integers(1, 6)] * 3),
    low=st.integers(0, 100),
    high=st.integers(100, 900),
    step=st.integers(7, 90),
    centred=st.booleans(),
    cutoff=st.none() | floats(0.1, 2.0),
)
def test_thermal_properties_are_those_of_the_functions(atoms, mesh, low, high, step, centred, cutoff, tally, fresh):
    tally("command and Python", "run with phonopy")
    folder = fresh()
    words = ["--dim", 2, 2, 2, "--mesh", *mesh, "-t", "--tmin", low, "--tmax", high, "--tstep", step]
    words += ["--gc"] if centred else []
    words += ["--cutoff-freq", cutoff] if cutoff else []
    given_atoms = command(folder, atoms, "run", *words)
    phonon = compute_force_constants(make_phonopy(given_atoms, np.diag([2, 2, 2])), EMT()).phonon
    expected = compute_phonons(
        phonon,
        mesh=mesh,
        temperatures=np.arange(low, high + step / 2, step),
        gamma_centred=centred,
        cutoff_frequency=cutoff,
        pitch=0.5,
        band_points=2,
    )
    rows = read_yaml(folder / "thermal_properties.yaml")["thermal_properties"]
    for name, values in (
        ("temperature", expected.temperatures),
        ("free_energy", expected.free_energy),
        ("entropy", expected.entropy),
        ("heat_capacity", expected.heat_capacity),
    ):
        # phonopy's file has seven decimals.
        assert_allclose([row[name] for row in rows], values, atol=2e-6)


RELAXATIONS = st.fixed_dictionaries(
    {"fmax": floats(1e-4, 1e-2)},
    optional={
        "cell": st.sampled_from(["free", "constant-volume", "fixed"]),
        "fix_symmetry": st.sampled_from([1e-4, 1e-2]),
        "fixed": st.just((0,)),
        "pressure": floats(-1, 3),
    },
).filter(lambda way: way.get("cell", "free") == "free" or "pressure" not in way)


def relaxation_words(way):
    words = []
    for name, option in (
        ("fmax", "--relax-fmax"),
        ("cell", "--relax-cell"),
        ("fix_symmetry", "--fix-symmetry"),
        ("pressure", "--pressure"),
    ):
        words += [option, way[name]] if name in way else []
    return [*words, *(["--fix-atoms", "1"] if "fixed" in way else [])]


@fewer(3)
@given(atoms=metals(), way=RELAXATIONS, tolerance=st.sampled_from([None, 1e-2, 0.1]))
def test_a_relaxation_is_that_of_the_function(atoms, way, tolerance, tally, fresh):
    tally("command and Python", "relax")
    folder = fresh()
    words = relaxation_words(way) + (["--symmetrise", tolerance] if tolerance else [])
    expected = relax(command(folder, atoms, "relax", *words), EMT(), **way)
    steps = read_record(folder / "phonopy_mlp-relax.yaml")["steps"]
    assert steps["relax"]["energy"] == pytest.approx(expected.energy, abs=1e-9)
    final = expected.atoms
    if tolerance:
        final = relax(symmetrise(final, tolerance), EMT(), **{**way, "fix_symmetry": tolerance}).atoms
    found = read_structure(folder / "relaxed.cif")
    assert_allclose(found.cell.cellpar(), final.cell.cellpar(), rtol=1e-7)
    assert_allclose(found.get_all_distances(mic=True), final.get_all_distances(mic=True), atol=1e-7)


@fewer(5)
@given(
    atoms=metals(("fcc", "L1_2", "hcp"), away=0.0),
    strain=floats(0.005, 0.03),
    points=st.integers(7, 10),
    form=st.sampled_from(["vinet", "murnaghan", "birch_murnaghan"]),
    tolerance=st.sampled_from([None, 1e-3]),
)
def test_an_equation_of_state_is_that_of_the_function(atoms, strain, points, form, tolerance, tally, fresh):
    tally("command and Python", "eos")
    folder = fresh()
    words = ["--relax", "--relax-fmax", "1e-3", "--eos-strain", strain, "--eos-points", points, "--eos-form", form]
    words += ["--tolerance", tolerance] if tolerance else []
    start = relax(command(folder, atoms, "eos", *words), EMT(), fmax=1e-3).atoms
    expected = run_eos(
        start, EMT(), strain=strain, points=points, eos=form, fmax=1e-3, symprec=tolerance or 1e-5
    ).describe()
    assert_alike(read_yaml(folder / "eos.yaml"), plain(expected))


@fewer(5)
@given(atoms=metals(("fcc", "L1_0"), away=0.0), strain=floats(0.001, 0.004))
def test_elastic_constants_are_those_of_the_functions(atoms, strain, tally, fresh):
    tally("command and Python", "elastic")
    folder = fresh()
    words = [
        "--relax",
        "--relax-fmax",
        "1e-4",
        "--elastic-strain",
        strain,
        "--elastic-method",
        "both",
        "--dim",
        3,
        3,
        3,
    ]
    start = relax(command(folder, atoms, "elastic", *words), EMT(), fmax=1e-4).atoms
    found = read_yaml(folder / "elastic.yaml")
    strained = run_elasticity(start, EMT(), strain=strain, fmax=1e-4)
    assert_alike(found["stress_strain"], plain(strained.describe()))
    waves = elastic_from_phonons(compute_force_constants(make_phonopy(start, np.diag([3, 3, 3])), EMT()).phonon)
    assert_allclose(found["long_waves"]["stiffness"], waves.stiffness, rtol=1e-6, atol=1e-4)


@fewer(5)
@given(
    strain=floats(0.008, 0.015),
    form=st.sampled_from(["vinet", "birch_murnaghan"]),
    mesh=st.integers(2, 4),
    high=st.integers(50, 200),
)
def test_thermal_expansion_is_that_of_the_function(strain, form, mesh, high, tally, fresh):
    tally("command and Python", "qha")
    folder = fresh()
    words = ["--dim", 2, 2, 2, "--mesh", *[mesh] * 3, "--tmax", high, "--tstep", 25, "--qha-strain", strain]
    start = command(folder, PROTOTYPES["fcc"], "qha", *words, "--qha-volumes", 5, "--qha-form", form)
    expected = run_mlp_qha(
        start,
        EMT(),
        supercell_matrix=np.diag([2, 2, 2]),
        temperatures=np.arange(0, high + 12.5, 25),
        volumes=5,
        strain=strain,
        eos=form,
        mesh=(mesh,) * 3,
    )
    for name, values in (
        ("volume-temperature.dat", expected.volume),
        ("thermal_expansion.dat", expected.volumetric_expansion),
    ):
        found = np.loadtxt(folder / name)
        assert_allclose(found[: len(values), 1], values, rtol=1e-6, atol=1e-10)


@fewer(5)
@given(
    seed=st.integers(0, 99),
    mixing=floats(0.3, 1.0),
    temperatures=st.lists(st.integers(1, 400), min_size=1, max_size=2, unique=True),
)
def test_self_consistent_phonons_are_those_of_the_function(seed, mixing, temperatures, tally, fresh):
    tally("command and Python", "sscha")
    folder = fresh()
    words = ["--dim", 2, 2, 2, "--mesh", 3, 3, 3, "--sscha", 2, "--sscha-snapshots", 4, "--sscha-transient", 1]
    words += ["--sscha-seed", seed, "--sscha-mixing", mixing, "--sscha-temperatures", *temperatures]
    start = command(folder, PROTOTYPES["fcc"], "sscha", *words)
    phonon = compute_force_constants(make_phonopy(start, np.diag([2, 2, 2])), EMT()).phonon
    settings = {"snapshots": 4, "iterations": 2, "transient": 1, "mixing": mixing, "seed": seed, "mesh": (3, 3, 3)}
    expected = run_sscha(phonon, EMT(), temperatures=temperatures, **settings)
    found = read_yaml(folder / "sscha.yaml")["temperatures"]
    assert [each["temperature"] for each in found] == temperatures
    assert_allclose(
        [each["free_energy"] for each in found], [point.free_energy for point in expected.points], atol=1e-9
    )


@fewer(5)
@given(atoms=metals(), way=RELAXATIONS)
def test_options_in_a_file_give_the_same_result(atoms, way, tally, fresh):
    tally("command and Python", "options in YAML")
    one, other, again = fresh(), fresh(), fresh()
    command(one, atoms, "relax", *relaxation_words(way))
    names = {"fmax": "relax-fmax", "cell": "relax-cell", "fix_symmetry": "fix-symmetry", "pressure": "pressure"}
    options = {names[name]: value for name, value in way.items() if name in names}
    write_yaml(other / "own.yaml", options | ({"fix-atoms": [1]} if "fixed" in way else {}))
    command(other, atoms, "relax", "--mlp-config", "own.yaml")
    write_cif(atoms, again / "metal.cif")
    with chdir(again):
        assert main(["relax", "--mlp-config", str(one / "phonopy_mlp-relax.yaml")]) == 0
    expected = (one / "relaxed.cif").read_bytes()
    assert (other / "relaxed.cif").read_bytes() == expected
    assert (again / "relaxed.cif").read_bytes() == expected


@fewer(5)
@given(atoms=metals(("fcc", "L1_2"), away=0.0), fmax=floats(1e-4, 1e-2), strain=floats(0.01, 0.02))
def test_a_screening_finds_what_the_functions_do(atoms, fmax, strain, tally, fresh):
    tally("command and Python", "screen")
    folder = fresh()
    write_cif(atoms, folder / "metal.cif")
    given_atoms = read_structure(folder / "metal.cif")
    words = ["screen", "metal.cif", "--mlp", "emt", "--steps", "relax,eos", "--db", "own.db", "--workers", "1"]
    words += ["--set", "relax", f"--relax-fmax {fmax}", "--set", "eos", f"--eos-strain {strain}"]
    with chdir(folder):
        assert main(words) == 0
    with connect(folder / "own.db") as database:
        (row,) = database.select()
    relaxed = relax(given_atoms, EMT(), fmax=fmax)
    assert row.energy == pytest.approx(relaxed.energy, abs=1e-9)
    expected = run_eos(read_structure(folder / "own/tasks/metal/relax/relaxed.cif"), EMT(), strain=strain)
    assert row.bulk_modulus == pytest.approx(expected.primitive_fit.bulk_modulus, rel=1e-6)
    assert row.eos_volume == pytest.approx(expected.primitive_fit.volume, rel=1e-6)


@fewer(5)
@given(
    atoms=metals(("fcc", "L1_2", "hcp"), away=0.05) | st.just(bulk("Cu", "bcc", a=2.9)),
    methods=st.sampled_from(["follow", "rattle", "follow,rattle"]),
    rounds=st.integers(0, 3),
    seed=st.integers(0, 99),
    tolerance=st.sampled_from([None, 1e-3, 0.05]),
)
def test_a_stabilised_crystal_is_that_of_the_function(atoms, methods, rounds, seed, tolerance, tally, fresh):
    tally("command and Python", "stabilise")
    folder = fresh()
    words = ["--dim", 2, 2, 2, "--stabilise-methods", methods, "--stabilise-rounds", rounds, "--stabilise-seed", seed]
    words += ["--symmetrise", tolerance] if tolerance else []
    expected = stabilise(
        command(folder, atoms, "stabilise", *words),
        EMT(),
        supercell_matrix=np.diag([2, 2, 2]),
        methods=methods.split(","),
        max_rounds=rounds,
        seed=seed,
        symmetrise=tolerance,
    )
    # Directions of strains and modes that belong together are as it happens.
    names = ("stable", "lowest_frequency", "born_stable")
    of_steps = ("method", "accepted", "atoms", "space_groups_before", "space_groups_after", "energy_per_atom")
    found, told = read_yaml(folder / "stabilised.yaml"), plain(expected.describe())
    assert_alike([found[name] for name in names], [told[name] for name in names])
    steps = [[[step[name] for name in of_steps] for step in each["trail"]] for each in (found, told)]
    assert_alike(*steps)
    atoms = read_structure(folder / "stabilised.cif")
    assert len(atoms) == len(expected.atoms)
    assert atoms.get_volume() == pytest.approx(expected.atoms.get_volume(), rel=1e-5)
    distances = [np.sort(each.get_all_distances(mic=True), axis=None) for each in (atoms, expected.atoms)]
    assert_allclose(*distances, atol=1e-3)


@fewer(5)
@given(
    atoms=metals(("fcc",), away=0.0),
    mesh=st.integers(2, 4),
    high=st.integers(50, 200),
    eos=st.booleans(),
    qha=st.booleans(),
)
def test_a_committee_says_what_the_function_does(atoms, mesh, high, eos, qha, tally, fresh):
    tally("command and Python", "committee")
    folder = fresh()
    words = ["--dim", 2, 2, 2, "--mesh", *[mesh] * 3, "--tmax", high, "--tstep", 25, "--committee", "hunt-stiff"]
    words += ["--committee-eos"] if eos else []
    words += ["--committee-qha"] if qha else []
    expected = run_committee(
        command(folder, atoms, "committee", *words),
        [get_calculator(name) for name in ("emt", "hunt-stiff")],
        supercell_matrix=np.diag([2, 2, 2]),
        mesh=(mesh,) * 3,
        temperatures=np.arange(0, high + 12.5, 25),
        eos=eos,
        qha=qha,
    )
    assert_alike(read_yaml(folder / "committee.yaml"), plain(expected.describe()))
    thermal = np.loadtxt(folder / "committee_thermal.dat").T
    assert_allclose(thermal[0], expected.temperatures)
    spreads = (expected.free_energy, expected.entropy, expected.heat_capacity)
    # The mean, the difference, and both members of each.
    found = thermal[1:].reshape(3, 4, -1)
    assert_allclose(found[:, 0], [each.mean for each in spreads], rtol=1e-3, atol=1e-4)
    assert_allclose(found[:, 2:], [each.members for each in spreads], rtol=1e-3, atol=1e-4)
    densities = np.loadtxt(folder / "committee_dos.dat").T
    assert_allclose(densities[:2], [expected.dos_edges[:-1], expected.dos_edges[1:]], rtol=1e-3, atol=1e-4)
    assert_allclose(densities[4:], expected.dos.members, rtol=1e-2, atol=1e-2)
    assert (folder / "committee_expansion.dat").exists() is qha
    if qha:
        volume = np.loadtxt(folder / "committee_expansion.dat").T[3:5]
        assert_allclose(volume, expected.expansion.volume.members, rtol=1e-5)


@fewer(3)
@given(
    atoms=metals(),
    dim=st.sampled_from([2, 3]),
    mesh=st.tuples(*[st.integers(1, 4)] * 3),
    cut=st.none() | floats(1.0, 8.0),
)
def test_a_comparison_is_that_of_the_function(atoms, dim, mesh, cut, tally, fresh, monkeypatch):
    assume(len(atoms) > 1 or max(mesh) > 1)
    monkeypatch.setattr("phonopy_mlp.cli.run.run_phonopy", lambda *_, **__: 0)
    tally("command and Python", "compare")
    folder = fresh()
    phonons = []
    for name, calculator, size in (("a", "emt", 2), ("b", "hunt-stiff", dim)):
        (folder / name).mkdir()
        given_atoms = command(folder / name, atoms, "run", "--dim", *[size] * 3, mlp=calculator)
        phonon = make_phonopy(given_atoms, np.diag([size] * 3))
        phonons.append(compute_force_constants(phonon, get_calculator(calculator)).phonon)
    words = ["--mesh", *mesh, *(["--cut", cut] if cut else [])]
    with chdir(folder):
        assert main(["compare", "a", "b", *map(str, words)]) == 0
    expected = compare_frequencies(*phonons, mesh=mesh, cut=cut or CUT)
    found = read_yaml(folder / "compare.yaml")["frequencies"]
    for pairing, below in product(("order", "overlap"), (None, expected.cut)):
        name = "full_range" if below is None else f"below_{below:g}_THz"
        deviation = expected.deviation(pairing, below=below)
        assert (found[f"by_{pairing}"][name] is None) == (deviation is None)
        if deviation is not None:
            assert_alike(found[f"by_{pairing}"][name], plain(deviation.describe()))

"""The whole step on a toy set, from Python and from the command line."""

import csv
import math
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from mace_mof_calc import structures
from mace_mof_calc.cli import main
from mace_mof_calc.domain.descriptors import compute_descriptors
from mace_mof_calc.errors import MissingExtraError, TrainingError
from mace_mof_calc.frames import read_frames
from mace_mof_calc.models.loading import load
from mace_mof_calc.training.curate import curation, pores
from mace_mof_calc.training.curate.bonds import find_bonds, find_nodes
from mace_mof_calc.training.curate.curation import run_curation
from mace_mof_calc.training.curate.describe import describe
from mace_mof_calc.training.curate.limits import Limits
from mace_mof_calc.training.curate.pores import PoreDiameters, compute_pore_diameters
from mace_mof_calc.training.curate.reading import find_cifs, read_cif
from mace_mof_calc.training.curate.symmetry import SYSTEMS
from mace_mof_calc.training.manifest import read_manifest

ROOT = Path(__file__).parents[4]
REFERENCE = ROOT.parent / "shared" / "reference"
WIDTHS = {"Al": PoreDiameters(3.61, 7.38), "Zn": PoreDiameters(11.06, 11.85), "Zr": PoreDiameters(3.6, 8.6)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CIFs of frameworks, of copies, and of what is none."""
    path = tmp_path_factory.mktemp("cifs")
    (path / "more").mkdir()
    mil53, mof74 = structures.load("MIL-53"), structures.load("MOF-74")
    mil53.write(path / "MIL-53.cif")
    mof74.write(path / "MOF-74.cif")
    structures.load("UiO-66").write(path / "UiO-66.cif")
    copy = mil53 * (1, 1, 2)
    copy.translate([1.0, 2.0, 3.0])
    copy.wrap()
    copy.write(path / "more" / "copy.cif")
    other = mil53.copy()
    other.set_cell(mil53.cell.array * [[1.08], [0.93], [1.0]], scale_atoms=True)
    other.write(path / "more" / "breathing.cif")
    water = molecule("H2O")
    water.translate([0.0, 0.0, 5.0] + mof74.cell.array.sum(axis=0) / 2)
    (mof74 + water).write(path / "wet.cif")
    magnesium = mof74.copy()
    magnesium.symbols[magnesium.symbols == "Zn"] = "Mg"
    magnesium.write(path / "Mg-MOF-74.cif")
    crowded = mil53.copy()
    crowded.positions[0] = crowded.positions[1] + 0.3
    crowded.write(path / "crowded.cif")
    radical = mil53.copy()
    del radical[[int((radical.symbols == "H").argmax())]]
    radical.write(path / "radical.cif")
    (path / "broken.cif").write_text("data_broken\n_cell_length_a 5\n")
    return path


@pytest.fixture
def quick_pores(monkeypatch):
    """Diameters without Zeo++, which takes seconds a structure."""
    found = []

    def compute(atoms):
        found.append(atoms.info["name"])
        return next(width for metal, width in WIDTHS.items() if metal in atoms.symbols)

    monkeypatch.setattr(curation, "compute_pore_diameters", compute)
    return found


@pytest.fixture
def model(tiny_packed):
    return load(tiny_packed)


def read_table(path):
    with path.open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_the_whole_step(folder, model, tmp_path, quick_pores):
    output = tmp_path / "new" / "chosen.extxyz"
    found = run_curation(folder, output, model, 2)
    table = read_table(output.with_suffix(".csv"))
    assert list(table) == [row.name for row in found.rows] == list(find_cifs(folder))
    dropped = {name: row["dropped"].partition(":")[0] for name, row in table.items() if row["dropped"]}
    assert dropped == {
        "Mg-MOF-74": "elements",
        "UiO-66": "pores",
        "broken": "reading",
        "crowded": "overlap",
        "more/copy": "duplicate",
        "radical": "charge",
        "wet": "charge or solvent",
    }
    assert table["more/copy"]["dropped"] == "duplicate: the same crystal as MIL-53"
    assert table["more/breathing"]["bonded_like"] == "MIL-53"
    assert {each.name for each in found.manifest.dropped} == set(dropped)
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    frames = read_frames(output)
    assert [int(table[atoms.info["name"]]["chosen"]) for atoms in frames] == [1, 2]
    assert {atoms.info["name"] for atoms in frames} <= {"MIL-53", "MOF-74", "more/breathing"}
    for atoms in frames:
        row = table[atoms.info["name"]]
        assert atoms.info["source"] == atoms.info["name"]
        assert atoms.info["kind"] == "crystal"
        assert set(atoms.info) == {
            "name", "source", "kind", "space_group", "crystal_system", "pore_limiting_diameter", "largest_pore_diameter"
        }  # fmt: skip
        assert atoms.get_chemical_formula() == row["formula"]
        assert len(atoms) == int(row["atoms"])
        assert atoms.info["pore_limiting_diameter"] == float(row["pore_limiting_diameter"])
    assert (table["UiO-66"]["crystal_system"], float(table["UiO-66"]["pore_limiting_diameter"])) == ("cubic", 3.6)
    assert table["broken"]["formula"] == ""
    assert not output.with_suffix(".parts").exists()


def test_names_that_look_like_numbers(model, tmp_path, quick_pores):
    (tmp_path / "cifs").mkdir()
    mil53 = structures.load("MIL-53")
    for name in ("1e5", "4000123"):
        mil53.write(tmp_path / "cifs" / f"{name}.cif")
    found = run_curation(tmp_path / "cifs", tmp_path / "chosen.extxyz", model, 2)
    assert [row.name for row in found.rows] == ["1e5", "4000123"]
    assert found.rows[1].dropped == "duplicate: the same crystal as 1e5"
    assert [each.name for each in found.manifest.dropped] == ["4000123"]


def test_it_goes_on_where_it_was(folder, model, tmp_path, quick_pores, monkeypatch):
    output = tmp_path / "chosen.extxyz"

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(curation, "find_duplicates", stop)
        with pytest.raises(KeyboardInterrupt):
            run_curation(folder, output, model, 2)
    before = list(quick_pores)
    assert len(before) == 5
    found = run_curation(folder, output, model, 2)
    assert quick_pores == before  # nothing was computed again
    again = run_curation(folder, output, model, 2)
    assert again.rows == ()
    assert again.manifest == found.manifest
    with pytest.raises(TrainingError, match="count was 2 and is 1"):
        run_curation(folder, output, model, 1)
    # what was kept on disk is what a run without a break gives
    fresh = tmp_path / "fresh.extxyz"
    run_curation(folder, fresh, model, 2)
    assert fresh.read_bytes() == output.read_bytes()
    assert fresh.with_suffix(".csv").read_bytes() == output.with_suffix(".csv").read_bytes()


def test_output_in_the_folder_itself(folder, model, tmp_path, quick_pores):
    cifs = tmp_path / "cifs"
    shutil.copytree(folder, cifs)
    output = cifs / "chosen.extxyz"
    first = run_curation(cifs, output, model, 2)
    (cifs / "notes.txt").write_text("Not a CIF")
    before = list(quick_pores)
    again = run_curation(cifs, output, model, 2)
    assert (again.rows, again.manifest) == ((), first.manifest)
    shutil.copytree(cifs, tmp_path / "moved", ignore=shutil.ignore_patterns("*.lock"))
    assert run_curation(tmp_path / "moved", tmp_path / "moved" / "chosen.extxyz", model, 2).rows == ()
    assert quick_pores == before


@pytest.mark.parametrize(
    ("renamed", "reason"),
    [
        ({"MIL-53": "MOF-74", "MOF-74": "MIL-53"}, "from other input files"),  # the first of duplicates is another one
        ({"MIL-53": "MIL-53a"}, r"names was '\w+' and is '\w+'$"),
    ],
    ids=["exchanged", "same-order"],
)
def test_other_names_are_another_job(folder, model, tmp_path, quick_pores, renamed, reason):
    cifs, output = tmp_path / "cifs", tmp_path / "chosen.extxyz"
    shutil.copytree(folder, cifs)
    run_curation(cifs, output, model, 2)
    contents = {name: (cifs / f"{name}.cif").read_bytes() for name in renamed}
    for name in renamed:
        (cifs / f"{name}.cif").unlink()
    for name, new in renamed.items():
        (cifs / f"{new}.cif").write_bytes(contents[name])
    with pytest.raises(TrainingError) as caught:
        run_curation(cifs, output, model, 2)
    assert re.search(reason, caught.value.why)


@pytest.mark.parametrize("suffixes", [(".csv",), (".png",), (".csv", ".png")])
def test_files_of_others_are_kept(folder, model, tmp_path, quick_pores, suffixes):
    output = tmp_path / "chosen.extxyz"
    own = [output.with_suffix(suffix) for suffix in suffixes]
    for path in own:
        path.write_text("A year's work")
    with pytest.raises(TrainingError, match=" and ".join(map(str, own)) + " would be overwritten"):
        run_curation(folder, output, model, 2)
    assert sorted(tmp_path.iterdir()) == own
    assert all(path.read_text() == "A year's work" for path in own)
    assert not quick_pores


def test_table_and_plots_of_a_run_that_was_stopped_are_its_own(folder, model, tmp_path, quick_pores, monkeypatch):
    output = tmp_path / "chosen.extxyz"

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(curation.Job, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run_curation(folder, output, model, 2)
    table = output.with_suffix(".csv")
    content = table.read_bytes()
    table.write_text("A year's work")  # in the meantime
    with pytest.raises(TrainingError, match=r"chosen.csv would be overwritten\. .*move it away"):
        run_curation(folder, output, model, 2)
    assert table.read_text() == "A year's work"
    table.write_bytes(content)
    assert run_curation(folder, output, model, 2).manifest.frames == 2


def test_plots_are_the_same_in_every_process(folder, model, tmp_path, quick_pores, monkeypatch):
    # Or else those of a run that was stopped would seem to be another's: sets of words have an order by chance.
    class Shuffled(frozenset):
        def __iter__(self):
            return iter(sorted(frozenset.__iter__(self), reverse=True))

    first = run_curation(folder, tmp_path / "first.extxyz", model, 2)
    monkeypatch.setattr(curation, "frozenset", Shuffled, raising=False)
    assert run_curation(folder, tmp_path / "second.extxyz", model, 2).rows == first.rows
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"pore": math.nan}, "above nan A"),
        ({"pore": math.inf}, "above inf A"),
        ({"pore": -1.0}, "above -1.0 A"),
        ({"max_atoms": 0}, "0 atoms"),
        ({"elements": ()}, "No element"),
    ],
)
def test_limits_that_make_no_sense(limits, reason):
    with pytest.raises(TrainingError, match=reason):
        Limits(**limits)


@pytest.mark.parametrize(
    "words", ["--pore nan", "--pore inf", "--pore -3", "--max-atoms -1", "--count 0", "--elements Q"]
)
def test_one_error_on_the_command_line(folder, tiny_packed, tmp_path, capsys, words):
    output = tmp_path / "chosen.extxyz"
    assert main(["curate", str(folder), "-o", str(output), "--model", str(tiny_packed), *words.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mace-mof: error: ")
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (Limits(elements=("Al", "C", "H", "O")), {"MIL-53", "more/breathing"}),
        (Limits(max_atoms=40), {"MIL-53", "more/breathing"}),
        (Limits(pore=7.0), {"MOF-74"}),
        (Limits(pore=3.0), {"MIL-53", "more/breathing", "MOF-74", "UiO-66"}),
    ],
)
def test_limits(folder, model, tmp_path, quick_pores, limits, left):
    found = run_curation(folder, tmp_path / "chosen.extxyz", model, 9, limits)
    assert {row.name for row in found.rows if row.rank} == left


def test_nothing_left(folder, model, tmp_path, quick_pores):
    output = tmp_path / "chosen.extxyz"
    for _ in range(2):  # the table of the first time is its own
        with pytest.raises(TrainingError, match=r"No frame is left.*pores"):
            run_curation(folder, output, model, 2, Limits(pore=99.0))
    assert not output.exists()
    assert all(row["dropped"] for row in read_table(output.with_suffix(".csv")).values())


def test_what_cannot_be_asked_for(folder, model, tmp_path, monkeypatch):
    output = tmp_path / "chosen.extxyz"
    with pytest.raises(TrainingError, match="tiny does not know N"):
        run_curation(folder, output, model, 2, Limits(elements=("C", "N")))
    with pytest.raises(TrainingError, match="0 structures"):
        run_curation(folder, output, model, 0)
    monkeypatch.setattr("mace_mof_calc.training.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pymatgen is not installed"):
        run_curation(folder, output, model, 2)
    assert not list(tmp_path.iterdir())


def test_descriptions_are_means_over_linkers_and_nodes(model):
    atoms = structures.load("MIL-53")
    bonds = find_bonds(atoms)
    found = describe(model, atoms, bonds)
    assert not np.allclose(found.linker, found.node)
    node = find_nodes(atoms.numbers, bonds)
    total = node.sum() * found.node + (~node).sum() * found.linker
    assert total == pytest.approx(compute_descriptors(model, atoms).sum(axis=0))
    twice = atoms * (2, 1, 1)
    again = describe(model, twice, find_bonds(twice))
    assert again.linker == pytest.approx(found.linker)
    assert again.node == pytest.approx(found.node)


def test_command(folder, tiny_packed, tmp_path, capsys, quick_pores):
    output = tmp_path / "chosen.extxyz"
    options = ["curate", str(folder), "-o", str(output), "--model", str(tiny_packed), "--device", "cpu", "--count", "2"]
    assert main([*options, "--pore", "3.605", "--max-atoms", "60", "--elements", "Al", "Zn", "C", "H", "O"]) == 0
    printed = capsys.readouterr()
    assert "dropped 2 for: elements" in printed.out
    assert "dropped 1 for: duplicate" in printed.out
    assert "kept more/breathing, though bonded like MIL-53" in printed.out
    assert f"{output}: 2 chosen of 3 that are left of 10" in printed.out
    assert printed.err == ""
    manifest = read_manifest(output)
    assert manifest.settings["elements"] == ["Al", "C", "H", "O", "Zn"]
    assert (manifest.settings["pore"], manifest.settings["max_atoms"], manifest.settings["count"]) == (3.605, 60, 2)
    assert main([*options, "--pore", "3.605", "--max-atoms", "60", "--elements", "Zn", "Al", "O", "H", "C"]) == 0
    assert "is finished: 2 structures, 7 dropped" in capsys.readouterr().out
    assert main(options) == 2
    assert "It was made otherwise" in capsys.readouterr().err


def test_zeo_is_asked(tmp_path, model):
    (tmp_path / "cifs").mkdir()
    structures.load("MIL-53").write(tmp_path / "cifs" / "MIL-53.cif")
    found = run_curation(tmp_path / "cifs", tmp_path / "chosen.extxyz", model, 1)
    alone = compute_pore_diameters(read_cif(tmp_path / "cifs" / "MIL-53.cif"))
    assert (found.rows[0].limiting, found.rows[0].largest) == (alone.limiting, alone.largest)


def test_a_structure_that_zeo_crashes_on_is_dropped(tmp_path, model, monkeypatch):
    (tmp_path / "cifs").mkdir()
    for name in ("MIL-53", "MOF-74"):
        structures.load(name).write(tmp_path / "cifs" / f"{name}.cif")
    crash = "import os, sys\nif 'Zn' in open(sys.argv[1]).read(): os.abort()\nopen(sys.argv[2], 'w').write('x 8.0 7.0')"
    monkeypatch.setattr(pores, "_WORK", crash)
    found = run_curation(tmp_path / "cifs", tmp_path / "chosen.extxyz", model, 2)
    assert [row.rank for row in found.rows] == [1, None]
    assert found.rows[1].dropped.startswith("computation: Zeo++ cannot compute its pores. It ended with status -6")


def test_what_is_said_of_the_published_cifs():
    table = read_table(ROOT / "docs" / "results" / "curated-reference.csv")
    left = {name: row for name, row in table.items() if not row["dropped"]}
    assert [row["dropped"].partition(":")[0] for name, row in table.items() if name not in left] == ["charge"]
    systems = Counter(row["crystal_system"] for row in left.values())
    assert {row["crystal_system"] for row in left.values() if row["chosen"]} == set(systems) == set(SYSTEMS)
    elements = {name: set(re.findall("[A-Z][a-z]?", row["formula"])) for name, row in left.items()}
    missing = set.union(*elements.values()) - set.union(*(elements[name] for name in left if left[name]["chosen"]))
    pores = [float(row["pore_limiting_diameter"]) for row in left.values()]
    said = " ".join((ROOT / "docs" / "training.md").read_text().split())
    assert f"{len(left)} of the {len(table)} are left" in said
    assert f"{min(pores):.2f} A at least, {max(pores):.2f} A at most" in said
    *most, last = [f"{number} {system}" for system, number in systems.most_common()]
    assert f"They are {', '.join(most)} and {last}, and each system" in said
    assert f"among the {sum(bool(row['chosen']) for row in left.values())} chosen; I, Zr, In and Ga are not" in said
    assert missing == {"I", "Zr", "In", "Ga"}


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="published data are not here")
def test_published_set_has_no_guests_and_one_mof_twice(tmp_path):
    from zipfile import ZipFile

    from mace_mof_calc.training.curate.bonds import fingerprint_bonds
    from mace_mof_calc.training.curate.filters import check_framework

    ZipFile(REFERENCE / "cifs" / "cifs.zip").extractall(tmp_path)
    cifs = find_cifs(tmp_path)
    assert len(cifs) == 138
    some = ["curated127/MIL-53", "curated127/qmof-86777db", "curated127/NOTT-300", *list(cifs)[::20]]
    first, twice = {}, []
    for name in some:
        atoms = read_cif(cifs[name])
        bonds = find_bonds(atoms)
        assert check_framework(atoms, bonds) is None
        if first.setdefault(fingerprint_bonds(atoms.numbers, bonds), name) != name:
            twice.append(name)
    assert twice == ["curated127/qmof-86777db"]

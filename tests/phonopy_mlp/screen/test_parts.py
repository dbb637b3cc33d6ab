"""What is screened, what is asked of it, and its row."""

from pathlib import Path

import pytest
from ase.build import bulk
from ase.db import connect
from ase.io import read, write

from phonopy_mlp.cli.main import main
from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.screen.entries import Entry, find_structures, read_entries
from phonopy_mlp.screen.plan import Model, _find_files, make_plan
from phonopy_mlp.screen.store import Result, Store, make_row
from phonopy_mlp.screen.task import Outcome
from phonopy_mlp.screen.values import find_values

from .conftest import OPTIONS, make_metals


def test_structures_come_from_folders_lists_files_and_databases(tmp_path):
    make_metals(tmp_path / "cifs", "Cu", "Al")
    make_metals(tmp_path / "cifs" / "more", "Cu")
    (tmp_path / "cifs" / "README.md").touch()
    make_metals(tmp_path / "other", "Ag", "Au")
    (tmp_path / "list.txt").write_text("other/Ag.cif\n\nother/Au.cif\n")
    with connect(tmp_path / "own.db") as database:
        database.write(bulk("Pt"), name="pt")
        database.write(bulk("Pd"))
    write(tmp_path / "POSCAR.vasp", bulk("Ni") * (5, 5, 5))
    sources = [tmp_path / name for name in ("cifs", "list.txt", "own.db", "POSCAR.vasp")]
    found = find_structures(sources, tmp_path / "screen")
    assert next(iter(found)) == "POSCAR"  # the largest
    assert sorted(found) == ["Ag", "Al", "Au", "Cu", "POSCAR", "more_Cu", "own-2", "pt"]
    assert found["own-2"] == tmp_path / "screen" / "inputs" / "own-2.extxyz"
    entries = {entry.name: entry for entry in read_entries(found)}
    assert entries["Cu"].digest == entries["more_Cu"].digest != entries["Al"].digest


def test_each_structure_of_a_file_is_one(tmp_path):
    metals = [bulk(symbol) for symbol in ("Cu", "Al", "Ag")]
    metals[1].info["name"] = "alu/minium"
    write(tmp_path / "chosen.extxyz", metals)
    write(tmp_path / "single.xyz", bulk("Au"))
    (tmp_path / "chosen.manifest.json").write_text("{}")
    (tmp_path / "damaged.extxyz").write_text((tmp_path / "chosen.extxyz").read_text() + "1\nhalf")
    found = find_structures([tmp_path], tmp_path / "screen")
    assert sorted(found) == ["alu_minium", "chosen-1", "chosen-3", "damaged", "single"]
    assert [read(found[name]).symbols[0] for name in ("alu_minium", "chosen-1", "chosen-3")] == ["Al", "Cu", "Ag"]
    assert found["damaged"] == tmp_path / "damaged.extxyz"
    assert find_structures([tmp_path / "chosen.extxyz"], tmp_path / "screen").keys() == found.keys() - {
        "damaged",
        "single",
    }


def test_names_are_fit_for_folders_and_databases(tmp_path):
    make_metals(tmp_path / "cifs", "Cu")
    for name in ("12", "1e5", "a b;c", "_._"):
        (tmp_path / "cifs" / "Cu.cif").with_name(f"{name}.cif").write_bytes((tmp_path / "cifs/Cu.cif").read_bytes())
    assert list(find_structures([tmp_path / "cifs"], tmp_path)) == [
        "Cu",
        "a_b_c",
        "structure",
        "structure_12",
        "structure_1e5",
    ]


def test_files_of_another_screening_and_hidden_ones_are_no_structures(place):
    make_metals(place, "Cu")
    assert main(["screen", ".", *OPTIONS, "--steps", "relax"]) == 0
    (place / "._Cu.cif").write_bytes(b"\0")
    make_metals(place / ".hidden", "Al")
    # A folder that only looks like one of a screening is searched.
    make_metals(place / "mine" / "tasks", "Ag")
    assert sorted(find_structures([place], place / "another")) == ["Cu", "mine_tasks_Ag"]


def test_what_is_not_there_or_not_clear_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StructureError, match="There is no structure in"):
        find_structures([tmp_path / "empty"], tmp_path)
    with pytest.raises(StructureError, match="was not found"):
        find_structures([tmp_path / "none"], tmp_path)
    (tmp_path / "list.txt").write_text("none.cif\n")
    with pytest.raises(StructureError, match=r"'.*list\.txt' names it"):
        find_structures([tmp_path / "list.txt"], tmp_path)
    for folder in ("a", "b"):
        make_metals(tmp_path / folder, "Cu")
    with pytest.raises(StructureError, match="Two structures are called 'Cu'"):
        find_structures([tmp_path / "a", tmp_path / "b"], tmp_path)
    (tmp_path / "b" / "Cu.cif").rename(tmp_path / "b" / "CU.cif")
    with pytest.raises(StructureError, match="Two structures are called 'CU'"):
        find_structures([tmp_path / "a", tmp_path / "b"], tmp_path)


def test_files_of_vasp_are_called_like_their_folders(tmp_path):
    (tmp_path / "cifs" / "copper").mkdir(parents=True)
    write(tmp_path / "cifs" / "copper" / "POSCAR", bulk("Cu"), format="vasp")
    assert list(find_structures([tmp_path / "cifs"], tmp_path)) == ["copper_POSCAR"]


def test_a_file_that_cannot_be_read_is_no_end_of_the_others(tmp_path):
    make_metals(tmp_path / "cifs", "Cu", "Al")
    found = find_structures([tmp_path / "cifs"], tmp_path)
    found["Cu"].unlink()
    digests = {entry.name: entry.digest for entry in read_entries(found)}
    assert digests["Cu"].startswith("unreadable: ")
    assert digests["Al"].startswith("sha256:")


def test_files_that_options_name_are_found_from_everywhere_and_decide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.conf").write_text("MESH = 5 5 5\n")
    Path("own.yaml").write_text("relax-fmax: 0.1\n")
    options = {"relax": "--mlp-config own.yaml", "phonons": "--dim 2 2 2 --config=own.conf"}

    def ask():
        return make_plan(["relax", "phonons"], options, Model("emt", "cpu"))

    first = ask()
    assert "--relax-fmax=0.1" in first.words("relax")
    assert f"--config={tmp_path / 'own.conf'}" in first.words("phonons")
    Path("own.conf").write_text("MESH = 6 6 6\n")
    second = ask()
    assert second.words("phonons") == first.words("phonons")
    assert second.questions()["phonons"] != first.questions()["phonons"]
    Path("own.yaml").write_text("relax-fmax: 0.2\n")
    assert ask().questions()["relax"] != first.questions()["relax"]


def test_files_without_a_suffix_and_lists_of_files_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("conf", "auto", "a.json", "b.json"):
        Path(name).write_text("MESH = 5 5 5\n")
    plan = make_plan(["phonons"], {"phonons": "--dim 2 2 2 --config conf --band auto"}, Model("emt", "cpu"))
    words = plan.words("phonons")
    assert words[words.index("--config") + 1] == str(tmp_path / "conf")
    assert words[words.index("--band") + 1] == "auto"
    assert [Path(stamp.path).name for stamp in plan.stamps] == ["conf"]
    found = dict(_find_files(["--committee", "a.json,mini,b.json"]))
    (paths,) = (paths for paths in found.values() if paths)
    assert [path.name for path in paths] == ["a.json", "b.json"]
    assert list(found)[1] == f"{tmp_path / 'a.json'},mini,{tmp_path / 'b.json'}"


def test_a_row_has_the_flags_of_all_steps():
    steps = {
        "stabilise": Outcome("done", "", values={"doubtful": "translation", "domain": "contact"}),
        "phonons": Outcome("done", "", values={"doubtful": "", "domain": "contact,element"}),
    }
    _, values, _ = make_row(Result(Entry("Cu", Path("none.cif"), ""), steps), finished=True)
    assert values["doubtful"] == "stabilise:translation"
    assert values["domain"] == "contact,element"
    sound = {"phonons": Outcome("done", "", values={"doubtful": "", "domain": ""})}
    _, values, _ = make_row(Result(Entry("Cu", Path("none.cif"), ""), sound), finished=True)
    assert values["doubtful"] == values["domain"] == ""


def test_checks_of_one_name_are_sound_where_all_are(tmp_path):
    force_constants = {"lowest_commensurate_frequency": 0.1, "imaginary_commensurate_modes": 0, "evaluations": 1}
    force_constants["primitive_atoms"] = 2
    steps = {
        "relax": {"health": {"precision": {"sound": False}}},
        "force_constants": {
            **force_constants,
            "health": {"precision": {"sound": True}, "translation": {"sound": True}},
        },
    }
    assert find_values("phonons", {"steps": steps}, tmp_path)["doubtful"] == "precision"


def test_what_took_the_memory_is_not_read_by_the_driver(tmp_path, monkeypatch):
    write(tmp_path / "Cu.cif", bulk("Cu"))
    entry = Entry("Cu", tmp_path / "Cu.cif", "")
    assert len(make_row(Result(entry, {"relax": Outcome("failed", "")}), finished=True)[0]) == 1
    assert len(make_row(Result(entry, {"relax": Outcome("failed", "", deadly=True)}), finished=True)[0]) == 0


def test_words_that_databases_refuse_are_written_otherwise(tmp_path):
    entry = Entry("Cu", Path("caf\udce9.cif"), "")
    outcome = Outcome("failed", "", reason="it holds \0, \x1b[1m and \udce9\nÅ")
    store = Store(str(tmp_path / "r.db"))
    store.write(Result(entry, {"relax": outcome}), finished=True)
    (row,) = connect(tmp_path / "r.db").select()
    assert row.error == "it holds \ufffd, \ufffd[1m and \ufffd\nÅ"
    assert row.data["steps"]["relax"]["reason"] == row.error
    assert row.data["input"]["file"] == "caf\ufffd.cif"


def test_a_row_says_whether_anything_is_left_to_do():
    result = Result(Entry("Cu", Path("none.cif"), ""), {"relax": Outcome("done", "")})
    assert make_row(result, finished=False)[1]["state"] == "unfinished"
    assert make_row(result, finished=True)[1]["state"] == "done"


@pytest.mark.parametrize(
    ("steps", "options", "message"),
    [
        (["relax", "dance"], {}, "Step 'dance'"),
        ([], {}, "No step was given"),
        (["relax", "relax"], {}, "one is named twice"),
        (["relax"], {"eos": ""}, "Options of eos: that is not among the steps"),
        (["relax"], {"relax": "--dim 2 2 2"}, "Options '.*--dim 2 2 2.*' of relax: they are not understood"),
        (["phonons"], {"phonons": "--dim 2 2"}, "3 or 9"),
        (["eos"], {"eos": '--eos-form "vinet'}, "Close the quotes"),
    ],
)
def test_steps_and_options_that_make_no_sense_are_refused(steps, options, message):
    with pytest.raises(SettingsError, match=message):
        make_plan(steps, options, Model("emt", "cpu"))


def test_what_decides_a_result_is_in_its_question():
    def ask(steps=("relax", "phonons"), options=None, device="cpu", words=(), digest=None, **description):
        return make_plan(steps, options or {}, Model("emt", device, words, description, digest)).questions()

    first = ask()
    assert ask(device="cuda", versions={"torch": "3"}) == first
    assert ask(digest="sha256:1")["relax"] != first["relax"]
    assert ask(elements=["Cu"])["relax"] != first["relax"]
    assert ask(words=("--dtype", "float32"))["relax"] != first["relax"]
    assert ask(("phonons",))["phonons"] != first["phonons"]
    other = ask(options={"relax": "--relax-fmax 0.1"})
    assert other["relax"] != first["relax"]
    assert other["phonons"] != first["phonons"]
    assert ask(("relax", "eos", "phonons"))["phonons"] == first["phonons"]

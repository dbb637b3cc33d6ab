"""The user's own models: found by name, never in the way of others."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from mace_mof_calc import MaceMOF, registry
from mace_mof_calc.cli import main
from mace_mof_calc.errors import TrainingError, UnknownHeadError, UnknownModelError
from mace_mof_calc.models.fingerprints import record_fingerprint, verify
from mace_mof_calc.models.own import MODELS_VARIABLE, check_free, find_own, list_own, own_directory, register
from mace_mof_calc.models.packed import save_packed
from mace_mof_calc.training.calculators import make_calculator

from ..conftest import TINY_CARD, make_module


@pytest.fixture
def own(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return save_packed(make_module(), tmp_path_factory.mktemp("packed") / "thing", {**TINY_CARD, "name": "my-model"})


def test_where_they_are(cache, tmp_path, monkeypatch):
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    if sys.platform == "linux":
        assert own_directory() == tmp_path / "data" / "mace-mof-calc" / "models"
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    assert own_directory() == tmp_path


def test_a_registered_model_is_found_by_every_way(own, packed):
    assert (list_own(), find_own("my-model")) == ({}, None)
    path = register(packed, "my-model")
    assert path == own / "my-model.json"
    assert find_own("my-model") == path
    assert MaceMOF("my-model").describe()["name"] == "my-model"
    assert make_calculator("my-model").describe()["name"] == "my-model"
    assert registry.own_models()["my-model"](device="cpu", dtype="float32").describe()["dtype"] == "float32"


def test_what_lies_beside_it_comes_along_and_goes(own, packed, tmp_path):
    beside = packed.with_suffix(".domain.safetensors")
    beside.write_bytes(b"record")
    register(packed, "my-model")
    assert (own / "my-model.domain.safetensors").read_bytes() == b"record"
    beside.unlink()
    other = save_packed(make_module(), tmp_path / "other", {**TINY_CARD, "title": "Another"})
    register(other, "my-model", replace=True)
    assert not (own / "my-model.domain.safetensors").exists()


def test_nothing_is_replaced_unasked(own, packed, tmp_path):
    register(packed, "my-model")
    assert register(packed, "my-model")  # the same one
    other = save_packed(make_module(), tmp_path / "other", {**TINY_CARD, "title": "Another"})
    with pytest.raises(TrainingError, match=r"my-model.*--replace"):
        register(other, "my-model")
    assert find_own("my-model").read_bytes() == packed.read_bytes()
    register(other, "my-model", replace=True)
    assert find_own("my-model").read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["mof0", "mini", "gfn1-xtb"])
def test_names_of_others_stay_theirs(own, packed, name):
    with pytest.raises(TrainingError, match=f"calculator '{name}' already"):
        register(packed, name, replace=True)


@pytest.mark.parametrize("name", ["", "a/b", "-x", "my model", "x.json", "x.model", "x.domain"])
def test_names_that_are_none(name):
    with pytest.raises(TrainingError, match="cannot be called"):
        check_free(name)


def test_files_that_are_no_models_are_passed_over(own, capsys):
    own.mkdir()
    (own / "notes.json").write_text("{}")
    (own / "broken.json").write_text("{}")
    (own / "broken.safetensors").write_bytes(b"")
    assert list(list_own()) == ["broken"]
    assert main(["models"]) == 0
    assert "cannot be read" in capsys.readouterr().out


def test_close_names_are_suggested(own, packed):
    register(packed, "my-model")
    with pytest.raises(UnknownModelError, match="'my-model'"):
        MaceMOF("my-modle")
    with pytest.raises(TrainingError, match="Did you mean my-model"):
        make_calculator("my-modle")


def test_calculators_by_name_and_file(packed, foundation_file):
    assert make_calculator("mini").describe()["name"] == "mini"
    assert make_calculator(str(packed), dtype="float32").describe()["dtype"] == "float32"
    with pytest.raises(TrainingError, match=r"Known are .*mof0"):
        make_calculator("nothing alike")
    with pytest.raises(TrainingError, match="'pbe' of 'gfn1-xtb' was asked for"):
        make_calculator("gfn1-xtb", head="pbe")
    with pytest.raises(UnknownHeadError, match="pbe"):
        make_calculator("mini", head="pbe")


def test_a_fingerprint_of_ones_own(own, packed):
    path = register(packed, "my-model")
    record_fingerprint(path, "MOF-5")
    assert verify("my-model").passed


def test_the_catalogue_is_registered_and_light():
    (point,) = entry_points(group="phonopy_mlp.catalogues", name="mace-mof-calc")
    assert point.load() is registry.own_models
    code = "import sys; from mace_mof_calc import registry; registry.own_models(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"

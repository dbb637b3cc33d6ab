import dataclasses
import json

import pytest

from mace_mof_calc.cli import main
from mace_mof_calc.models import cards, fingerprints, weights
from mace_mof_calc.models.fingerprints import Verification
from mace_mof_calc.models.packed import save_packed

from ..conftest import TINY_CARD, make_module


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """Make the tiny model one that ships with the package."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    row = {"quantity": "forces / %", "result": "5.0", "criterion": "at most 4", "met": False}
    path = save_packed(make_module(), folder / "tiny", {**TINY_CARD, "validation": [row]})
    monkeypatch.setattr(cards, "EMBEDDED_DIRECTORY", folder)
    monkeypatch.setattr(weights, "EMBEDDED_DIRECTORY", folder)
    known = {card.name: card for card in (*cards._PUBLISHED, *cards._embedded_cards())}
    for module in ("cli.models", "models.cards", "models.weights", "models.loading", "models.fingerprints"):
        monkeypatch.setattr(f"mace_mof_calc.{module}.CARDS", known)
    return path


def test_models(cache, embedded, capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "level", "of", "theory", "elements", "weights"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert set(rows) == {"mof0", "mof0-v2", "mp-0b", "mp-0b-d3", "gfn1-xtb", "tiny"}
    assert "none needed" in rows["gfn1-xtb"]
    assert "PBE-D3(BJ)" in rows["mof0"]
    assert "89 (24 curated)" in rows["mof0"]
    assert "not fetched" in rows["mof0"]
    assert "in the package" in rows["tiny"]


def test_models_says_where_a_file_is_and_whether_it_is_the_right_one(cache, capsys):
    cache.mkdir(parents=True)
    (cache / "mace_agnesi_medium.model").write_bytes(b"anything")
    (cache / "mofs_v1.model").write_bytes(b"anything")
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert str(cache / "mace_agnesi_medium.model") in out
    assert "not the published file" in out


def test_info_of_a_file(multihead_file, capsys):
    assert main(["info", str(multihead_file)]) == 0
    out = capsys.readouterr().out
    assert "4: H C O Zn" in out
    assert "pt_head, Default (used)" in out
    assert "sha256:" in out


def test_info_of_a_packed_model(embedded, capsys):
    assert main(["info", "tiny"]) == 0
    out = capsys.readouterr().out
    assert "missed  forces / %: 5.0 (asked for: at most 4)" in out
    assert "Random parameters" in out


def test_info_does_not_fetch(cache, capsys):
    assert main(["info", "mof0"]) == 2
    assert "mace-mof fetch mof0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["fetch", "mof1"],
        ["info", "absent.model"],
        ["verify", "mp-0b"],
        ["fetch", "mof0", "--quiet", "--url", "http://127.0.0.1:9/mofs_v1.model"],
    ],
    ids=str,
)
def test_error_is_one_message_and_status_2(arguments, cache, capsys, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mace-mof: error: ")
    assert "Traceback" not in err
    assert main(["--debug", *arguments]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_fetch_prints_the_path(embedded, capsys):
    assert main(["fetch", "tiny"]) == 0
    assert capsys.readouterr().out.strip() == str(embedded)


@pytest.mark.parametrize(("energy", "status", "verdict"), [(-1.0, 0, "agrees"), (-1.1, 1, "DIFFERS")])
def test_verify(energy, status, verdict, capsys, monkeypatch):
    outcome = Verification("mof0", "MOF-5, 106 atoms", energy, -1.0, 0.0, 0.0, "D3 cutoff 95 Bohr")
    monkeypatch.setattr(fingerprints, "verify", lambda name, device: dataclasses.replace(outcome, name=name))
    assert main(["verify", "mof0"]) == status
    out = capsys.readouterr().out
    assert verdict in out
    assert "MOF-5, 106 atoms, D3 cutoff 95 Bohr" in out


def test_usage(capsys):
    for arguments in ([], ["fetch"], ["no-such-command"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert json.dumps(capsys.readouterr().err).count("usage: mace-mof") == 3

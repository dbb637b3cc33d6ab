import dataclasses
import json
import subprocess
import sys

import pytest
from ase.data import atomic_numbers

from mace_mof_calc.backend import import_mace
from mace_mof_calc.errors import ModelFileError, UnknownModelError
from mace_mof_calc.models.cards import CARDS, card_from_json, get_card

from ..conftest import TINY_CARD


def test_published_digests_and_addresses():
    base = "https://raw.githubusercontent.com/ddmms/data/b470513db93f5fe852f75b27141ad98cf20535ec/mace-mof-0"
    assert get_card("mof0").digest == "git-blob:32ce4dfe5bc8e41ba17984e46cfe3f5b95bb08a0"
    assert get_card("mof0").url == f"{base}/v1/mofs_v1.model"
    assert get_card("mof0-v2").digest == "git-blob:7fc2362f5338034bf930d068a1bca654947a6cb2"
    assert get_card("mof0-v2").url == f"{base}/v2/mofs_v2.model"


def test_mp_0b_is_what_mace_calls_medium_0b():
    import_mace()
    from mace.calculators.foundations_models import mace_mp_urls

    assert get_card("mp-0b").url == mace_mp_urls["medium-0b"]
    assert get_card("mp-0b").digest is None


def test_elements_of_the_cards():
    card = get_card("mof0")
    assert (len(card.elements), len(card.curated_elements)) == (89, 24)
    assert set(card.curated_elements) < set(card.elements) < set(atomic_numbers)
    assert card.dispersion_included
    assert not get_card("mp-0b").dispersion_included


def test_unknown_name_suggests_the_close_ones():
    with pytest.raises(UnknownModelError, match=r"Did you mean 'mof0-v2' or 'mof0'\?"):
        get_card("mof0-v3")
    with pytest.raises(UnknownModelError, match="Known models: mof0, mof0-v2"):
        get_card("something else")


def test_cards_are_read_only():
    with pytest.raises(TypeError):
        CARDS["mine"] = CARDS["mof0"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        CARDS["mof0"].name = "mine"


def test_card_of_a_packed_model():
    row = {"quantity": "forces / %", "result": "5.0", "criterion": "at most 4", "met": False}
    card = card_from_json({**TINY_CARD, "validation": [row]}, filename="tiny.json", digest="sha256:0")
    assert card.embedded
    assert card.elements == tuple(TINY_CARD["elements"])
    assert not card.validation[0].met
    assert json.loads(json.dumps(dataclasses.asdict(card)))["validation"] == [row]


@pytest.mark.parametrize(
    "change", [{"name": 1}, {"elements": "H"}, {"dispersion_included": "no"}, {"more": ""}, {"validation": [{"a": 1}]}]
)
def test_malformed_card(change):
    with pytest.raises(ModelFileError, match=r"tiny\.json"):
        card_from_json({**TINY_CARD, **change}, filename="tiny.json", digest="sha256:0")


def test_incomplete_card():
    card = {key: value for key, value in TINY_CARD.items() if key != "licence"}
    with pytest.raises(ModelFileError, match="missing: licence"):
        card_from_json(card, filename="tiny.json", digest="sha256:0")


def test_cards_load_without_torch():
    code = "import sys, mace_mof_calc.models.cards, mace_mof_calc.models.weights; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

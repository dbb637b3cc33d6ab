import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from mace_mof_calc.errors import ModelFileError
from mace_mof_calc.models.hyperparameters import Hyperparameters
from mace_mof_calc.models.loading import load
from mace_mof_calc.models.packed import Fingerprint, read_packed, save_packed, write_fingerprint

from ..conftest import TINY, TINY_CARD, make_module
from .test_loading import evaluate


@pytest.fixture
def copy(tiny_packed, tmp_path):
    for path in (tiny_packed, tiny_packed.with_suffix(".safetensors")):
        shutil.copy(path, tmp_path)
    return tmp_path / tiny_packed.name


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_loading_unpickles_nothing(tiny_packed, monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("something was unpickled")

    for name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    assert load(tiny_packed).module is not None
    assert load("mini").module is not None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"heads": ("pt_head", "Default")},
        {"pair_repulsion": True, "distance_transform": "Agnesi"},
        {"num_interactions": 1, "correlation": (3,)},
        {"num_interactions": 3, "correlation": (2, 1, 2)},
        {"max_ell": 2, "hidden_irreps": "4x0e"},
        {"interaction_cls_first": "RealAgnosticDensityInteractionBlock"},
        {"interaction_cls": "RealAgnosticDensityResidualInteractionBlock"},
    ],
    ids=str,
)
def test_round_trip_is_exact_but_for_float32_parameters(changes, crystal, tmp_path):
    hyperparameters = dataclasses.replace(TINY, **changes)
    module = make_module(hyperparameters)
    for parameter in module.parameters():
        parameter.data = parameter.data.float().double()
    path = save_packed(module, tmp_path / "model", TINY_CARD)
    read = read_packed(path).hyperparameters
    if len(read.correlation) == 1:  # what a single layer does not have is not read back
        assert read == dataclasses.replace(
            hyperparameters,
            hidden_irreps="4x0e",
            MLP_irreps="1x0e",
            interaction_cls=hyperparameters.interaction_cls_first,
        )
    else:
        assert read == hyperparameters
    head = hyperparameters.heads[-1]
    for found, expected in zip(
        evaluate(load(path).module, crystal, head), evaluate(module, crystal, head), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


def test_files_are_small_and_hold_parameters_in_float32(tiny_packed):
    state = read_packed(tiny_packed).state
    dtypes = {name: tensor.dtype for name, tensor in state.items()}
    float64 = {name for name, dtype in dtypes.items() if dtype == torch.float64}
    assert float64 == {"atomic_energies_fn.atomic_energies", "scale_shift.scale", "scale_shift.shift"}
    assert not [name for name in state if "U_matrix" in name]
    parameters = sum(parameter.numel() for parameter in make_module().parameters())
    assert tiny_packed.with_suffix(".safetensors").stat().st_size < 4 * parameters + 8000


def test_digest_is_that_of_the_json_file_and_holds_that_of_the_weights(tiny_packed):
    loaded = load(tiny_packed)
    assert loaded.digest == loaded.card.digest == f"sha256:{hashlib.sha256(tiny_packed.read_bytes()).hexdigest()}"
    weights = tiny_packed.with_suffix(".safetensors").read_bytes()
    assert json.loads(tiny_packed.read_text())["sha256"] == hashlib.sha256(weights).hexdigest()


def test_safetensors_names_the_model_too(tiny_packed):
    assert load(tiny_packed.with_suffix(".safetensors")).path == tiny_packed


def test_fingerprint_is_added_and_replaced(copy):
    assert read_packed(copy).fingerprint is None
    for energy in (-1.0, -2.0):
        write_fingerprint(copy, Fingerprint("MOF-5", energy, 0.1))
        assert read_packed(copy).fingerprint == Fingerprint("MOF-5", energy, 0.1)


def test_saving_leaves_no_other_files(tmp_path):
    save_packed(make_module(), tmp_path / "a.b", TINY_CARD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b.json", "a.b.safetensors"]


def test_failed_saving_leaves_nothing(tmp_path):
    with pytest.raises(ModelFileError, match="unknown: more"):
        save_packed(make_module(), tmp_path / "model", {**TINY_CARD, "more": 1})
    assert not list(tmp_path.iterdir())


def test_model_that_cannot_be_rebuilt_is_not_packed(tmp_path):
    module = make_module()
    module.radial_embedding.bessel_fn.bessel_weights.mul_(1.1)
    with pytest.raises(ModelFileError, match="bessel_weights does not follow"):
        save_packed(module, tmp_path / "model", TINY_CARD)
    with pytest.raises(ModelFileError, match="The model is a Linear"):
        save_packed(torch.nn.Linear(1, 1), tmp_path / "model", TINY_CARD)


def test_radii_of_elements_that_a_model_does_not_know_may_be_of_another_ase(tmp_path):
    module = make_module(dataclasses.replace(TINY, pair_repulsion=True, distance_transform="Agnesi"))
    radii = [buffer for name, buffer in module.named_buffers() if name.endswith("covalent_radii")]
    for buffer in radii:
        buffer[97:] = 0.2  # of ASE 3.26; 2.0 of later ones
    assert save_packed(module, tmp_path / "model", TINY_CARD).is_file()
    radii[0][30] *= 1.1
    with pytest.raises(ModelFileError, match="covalent_radii does not follow"):
        save_packed(module, tmp_path / "other", TINY_CARD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "does not say format"),
        ({"version": 2}, "format version 2"),
        ({"architecture": "PolarMACE"}, "not a packed ScaleShiftMACE"),
        ({"more": 1}, "unknown: more"),
        ({"hyperparameters": []}, "not tables"),
        ({"hyperparameters": {"r_max": 4.0}}, "missing: MLP_irreps"),
        ({"hyperparameters": {**TINY.to_json(), "r_max": "4"}}, "r_max = '4'"),
        ({"hyperparameters": {**TINY.to_json(), "hidden_irreps": "__import__('os')"}}, "hidden_irreps = "),
        ({"hyperparameters": {**TINY.to_json(), "interaction_cls": "os.system"}}, "interaction_cls = "),
        ({"hyperparameters": {**TINY.to_json(), "correlation": [2]}}, "one correlation order per layer"),
        ({"hyperparameters": {**TINY.to_json(), "heads": ["a", "a"]}}, "heads = "),
        ({"card": {}}, "missing: citation"),
        ({"fingerprint": {"energy": 1.0}}, "cannot be read"),
        ({"sha256": "0" * 64}, "Expected sha256:000"),
    ],
)
def test_malformed_json(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(ModelFileError, match=message):
        read_packed(copy)


def test_json_that_is_none(copy):
    for content in (b"", b"{", b"[]", b"\xff\xfe", b"<html>"):
        copy.write_bytes(content)
        with pytest.raises(ModelFileError, match="not a packed model"):
            read_packed(copy)


def test_weights_missing_or_changed(copy):
    weights = copy.with_suffix(".safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-8])
    with pytest.raises(ModelFileError, match=rf"does not belong to its JSON file.*{len(content) - 8} bytes"):
        read_packed(copy)
    weights.write_bytes(b"not safetensors")
    edit(copy, sha256=hashlib.sha256(b"not safetensors").hexdigest())
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_packed(copy)
    weights.unlink()
    with pytest.raises(ModelFileError, match="is missing"):
        read_packed(copy)


def test_weights_that_do_not_fit_the_hyperparameters(copy):
    edit(copy, hyperparameters=dataclasses.replace(TINY, radial_MLP=(8, 9)).to_json())
    with pytest.raises(ModelFileError, match="in another size"):
        load(copy)
    edit(copy, hyperparameters=dataclasses.replace(TINY, num_interactions=1, correlation=(2,)).to_json())
    with pytest.raises(ModelFileError, match="has besides"):
        load(copy)
    edit(copy, hyperparameters=dataclasses.replace(TINY, radial_MLP=(8, 8, 8)).to_json())
    with pytest.raises(ModelFileError, match="lacks"):
        load(copy)


def test_hyperparameters_survive_json():
    assert Hyperparameters.from_json(json.loads(json.dumps(TINY.to_json()))) == TINY

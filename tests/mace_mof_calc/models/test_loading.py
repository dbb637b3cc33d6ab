import dataclasses
import io
import os
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mace_mof_calc.backend import import_mace
from mace_mof_calc.errors import DeviceError, ModelFileError, PrecisionError, UnknownHeadError, UnknownModelError
from mace_mof_calc.models import weights
from mace_mof_calc.models.cards import CARDS
from mace_mof_calc.models.loading import choose_head, load

from ..conftest import TINY, make_module, save_pickle


def evaluate(module, atoms, head):
    """Energy, forces and stress by mace's own calculator."""
    import_mace()
    from mace.calculators.mace import MACECalculator

    dtype = {torch.float64: "float64", torch.float32: "float32"}[next(module.parameters()).dtype]
    atoms = atoms.copy()
    atoms.calc = MACECalculator(models=[module], device="cpu", default_dtype=dtype, head=head)
    return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()


@pytest.mark.parametrize("name", ["multihead_file", "foundation_file"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_safe_loading_is_numerically_identical_to_that_of_mace(name, dtype, crystal, request):
    path = request.getfixturevalue(name)
    safe, trusted = load(path, dtype=dtype), load(path, dtype=dtype, trust=True)
    assert type(trusted.module) is type(safe.module)
    assert type(safe.module).__name__ == "ScaleShiftMACE"
    digits = {"float64": 1e-14, "float32": 1e-6}[dtype]
    for head in safe.heads:
        found, expected = evaluate(safe.module, crystal, head), evaluate(trusted.module, crystal, head)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=digits, atol=digits * np.abs(other).max())
        assert np.abs(found[1]).max() > 0.1
    fields = {field.name for field in dataclasses.fields(safe)} - {"module"}
    assert all(getattr(safe, field) == getattr(trusted, field) for field in fields)


def test_tensors_are_those_of_the_file(multihead_file):
    safe, trusted = (load(multihead_file, trust=trust).module.state_dict() for trust in (False, True))
    assert all(torch.equal(safe[name], trusted[name].to(safe[name])) for name in safe if name in trusted)
    assert all(name.endswith("_zeroed") for name in set(safe) - set(trusted))  # new in mace 0.3.9


def test_what_is_loaded(multihead_file, foundation_file):
    loaded = load(multihead_file)
    assert (loaded.name, loaded.head, loaded.heads) == ("multihead-0.3.8", "Default", ("pt_head", "Default"))
    assert (loaded.elements, loaded.r_max, loaded.card) == (("H", "C", "O", "Zn"), 4.0, None)
    assert loaded.digest == weights.compute_digest(multihead_file, "sha256")
    assert not loaded.module.training
    assert not any(parameter.requires_grad for parameter in loaded.module.parameters())
    assert load(foundation_file).head == "default"


@pytest.mark.parametrize(
    ("heads", "wanted", "chosen"),
    [
        (("Default",), None, "Default"),
        (("pt_head", "Default"), None, "Default"),
        (("mofs", "pt_head"), None, "mofs"),
        (("pt_head",), None, "pt_head"),
        (("pt_head", "default", "other"), None, "default"),
        (("pt_head", "Default"), "pt_head", "pt_head"),
    ],
)
def test_choice_of_head(heads, wanted, chosen):
    assert choose_head(heads, wanted) == chosen


def test_unclear_choice_of_head():
    with pytest.raises(UnknownHeadError, match=r"several heads \(pt_head, a, b\)"):
        choose_head(("pt_head", "a", "b"))


def test_unknown_head_lists_the_heads(multihead_file):
    with pytest.raises(UnknownHeadError, match=r"no head 'mof'.*Its heads are pt_head, Default"):
        load(multihead_file, head="mof")


def test_heads_differ(multihead_file, crystal):
    loaded = load(multihead_file, head="pt_head")
    assert loaded.head == "pt_head"
    energies = [evaluate(loaded.module, crystal, head)[0] for head in loaded.heads]
    assert abs(energies[0] - energies[1]) > 1e-3


def test_precision_and_device(tiny_packed):
    assert load(tiny_packed, dtype="float32").module.r_max.dtype == torch.float32
    with pytest.raises(PrecisionError, match="'float16'"):
        load(tiny_packed, dtype="float16")
    with pytest.raises(DeviceError, match="'abacus'"):
        load(tiny_packed, device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="'cuda'"):
            load(tiny_packed, device="cuda")


def test_loading_changes_nothing_around_it(tiny_packed, multihead_file):
    import e3nn
    from mace.tools import cg

    compute = cg._wigner_nj
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    settings, variable = e3nn.get_optimization_defaults(), os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    for path in (tiny_packed, multihead_file):
        load(path, dtype="float64")
    assert torch.get_default_dtype() == torch.float32
    assert e3nn.get_optimization_defaults() == settings
    assert os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") == variable
    assert torch.equal(torch.rand(1), expected)
    assert cg._wigner_nj is compute


def test_loading_prints_nothing(tiny_packed, multihead_file, capfd):
    load(tiny_packed)
    load(multihead_file)
    assert capfd.readouterr() == ("", "")


def test_registered_files_are_recognised_by_their_content(multihead_file, tmp_path, monkeypatch):
    digest = weights.compute_digest(multihead_file, "git-blob")
    card = dataclasses.replace(CARDS["mof0"], digest=digest)
    monkeypatch.setattr(weights, "CARDS", {"mof0": card})
    renamed = shutil.copy(multihead_file, tmp_path / "mine.model")
    loaded = load(renamed)
    assert (loaded.name, loaded.card, loaded.digest) == ("mof0", card, digest)


def test_threads_may_load_at_once(tiny_packed):
    """mace's constructor reads the default dtype of the process, which is then given back."""
    dtypes = ["float64", "float32"] * 3
    with ThreadPoolExecutor(len(dtypes)) as pool:
        models = list(pool.map(lambda dtype: load(tiny_packed, dtype=dtype).module, dtypes))
    assert [str(next(model.parameters()).dtype) for model in models] == [f"torch.{dtype}" for dtype in dtypes]
    assert torch.get_default_dtype() == torch.float32
    assert sys.modules["mace.tools.cg"]._wigner_nj.__name__ == "_wigner_nj"


def test_unknown_names(tmp_path):
    with pytest.raises(UnknownModelError, match="Did you mean 'mof0'"):
        load("mof1")
    with pytest.raises(ModelFileError, match="There is no model file"):
        load(tmp_path / "absent.model")
    with pytest.raises(ModelFileError, match="There is no model file"):
        load("absent.model")
    with pytest.raises(ModelFileError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "It is empty"),
        (b"\n <!DOCTYPE html><html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of git-lfs"),
        (b"\x80\x02}q\x00.", "not written by torch.save"),
        (b"PK\x03\x04 and nothing more", "BadZipFile"),
    ],
)
@pytest.mark.parametrize("trust", [False, True])
def test_files_that_are_no_models(content, message, trust, tmp_path):
    path = tmp_path / "some.model"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="PyTorch cannot load" if trust else message):
        load(path, trust=trust)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file(fraction, multihead_file, tmp_path):
    content = multihead_file.read_bytes()
    path = tmp_path / "cut.model"
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ModelFileError, match="damaged"):
        load(path)


def test_damaged_files_are_model_file_errors(multihead_file, tmp_path):
    """Whatever byte of the pickle is changed, the outcome is a model or a ModelFileError."""
    with zipfile.ZipFile(multihead_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    rng = np.random.default_rng(1)
    outcomes = []
    for _ in range(25):
        damaged = bytearray(members[pickled])
        damaged[rng.integers(len(damaged) if rng.integers(2) else 2000)] = rng.integers(256)
        path = tmp_path / "damaged.model"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, pickled: bytes(damaged)}.items():
                archive.writestr(name, content)
        try:
            load(path)
        except ModelFileError:
            outcomes.append("refused")
        else:
            outcomes.append("loaded")
    assert outcomes.count("refused") > 2


@pytest.mark.parametrize("trust", [False, True])
def test_other_objects_are_no_models(trust, tmp_path):
    path = tmp_path / "some.model"
    save_pickle({"weights": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="It holds a dict"):
        load(path, trust=trust)


def test_other_architectures_are_named(tmp_path):
    path = tmp_path / "some.model"
    save_pickle(make_module().readouts[0], path)
    with pytest.raises(ModelFileError, match="The model is a LinearReadoutBlock"):
        load(path)


@pytest.mark.parametrize(
    ("option", "value"), [("apply_cutoff", False), ("use_so3", True), ("use_last_readout_only", True)]
)
def test_options_that_are_not_known_are_refused(option, value, tmp_path):
    module = make_module()
    setattr(module, option, value)
    save_pickle(module, tmp_path / "some.model")
    with pytest.raises(ModelFileError, match=f"made with {option} = {value}"):
        load(tmp_path / "some.model")


@pytest.mark.parametrize(
    "changes",
    [{"max_ell": 2}, {"interaction_cls": "RealAgnosticDensityResidualInteractionBlock", "num_interactions": 1}],
    ids=str,
)
def test_float32_files_of_the_installed_mace(changes, crystal, tmp_path):
    """The constants of a float32 file are rounded; in float64 they must be the rounded ones, or energies differ."""
    changes = {"correlation": (2,) * changes.get("num_interactions", 2), **changes}
    path = save_pickle(make_module(dataclasses.replace(TINY, **changes), dtype=torch.float32), tmp_path / "new.model")
    safe, trusted = load(path).module, load(path, trust=True).module
    assert all(torch.equal(tensor, safe.state_dict()[name]) for name, tensor in trusted.state_dict().items())
    assert any("_w3j_" in name for name in safe.state_dict()) == (changes.get("max_ell") == 2)
    for found, other in zip(evaluate(safe, crystal, "Default"), evaluate(trusted, crystal, "Default"), strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-14, atol=1e-14)


def test_compressed_archive_is_refused(multihead_file, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(multihead_file) as archive, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    (tmp_path / "packed.model").write_bytes(buffer.getvalue())
    with pytest.raises(ModelFileError, match="compressed"):
        load(tmp_path / "packed.model")

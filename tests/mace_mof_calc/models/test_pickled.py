"""Files that try to run code. What they run leaves a file behind, so that a test can prove that nothing ran."""

import builtins
import io
import os
import pathlib
import pickle
import subprocess
import warnings
import zipfile

import pytest
import torch

from mace_mof_calc.backend import jit_without_warning
from mace_mof_calc.errors import ModelFileError, UnsafeModelError
from mace_mof_calc.models import pickled
from mace_mof_calc.models.loading import load

from ..conftest import make_module, save_pickle


class Call:
    """Pickles as the call of a function; unpickling makes the call."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.fixture
def trace(tmp_path):
    """Path of the file that an attack that runs leaves behind."""
    return tmp_path / "it-ran"


def attacks(trace):
    code = f"open({str(trace)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, f"touch {trace}"),
        "subprocess": Call(subprocess.check_output, ["touch", str(trace)]),
        "eval": Call(builtins.eval, f"__import__('os').system('touch {trace}')"),
        "exec": Call(builtins.exec, code),
        "open": Call(builtins.open, str(trace), "w"),
        "getattr": Call(builtins.getattr, Call(builtins.__import__, "os"), "system"),
        "pathlib": Call(pathlib.Path.touch, pathlib.Path(trace)),
        "nested pickle": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {trace}"))),
        "torch.load": Call(torch.load, str(trace)),
    }


@pytest.mark.parametrize("name", list(attacks("")))
def test_file_that_runs_code_is_refused_and_nothing_runs(name, trace, tmp_path):
    path = save_pickle(attacks(trace)[name], tmp_path / "hostile.model")
    with pytest.raises(UnsafeModelError, match="Nothing was run"):
        load(path)
    assert not trace.exists()


@pytest.mark.parametrize("place", ["heads", "_buffers", "_modules"])
def test_model_that_runs_code_is_refused_and_nothing_runs(place, trace, tmp_path):
    module, attack = make_module(), attacks(trace)["os.system"]
    if place == "heads":
        module.heads = [attack]
    else:
        module.__dict__[place]["attack"] = attack
    path = save_pickle(module, tmp_path / "hostile.model")
    with pytest.raises(UnsafeModelError, match="Nothing was run"):
        load(path)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["os.system", "exec", "eval", "open"])
def test_the_attacks_would_work(name, trace, tmp_path):
    """With trust=True the same files do run, so the tests above test something."""
    path = save_pickle(attacks(trace)[name], tmp_path / "hostile.model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(ModelFileError, match="holds no MACE model"):
            load(path, trust=True)
    assert trace.exists()


def test_hostile_source_of_a_graph_module_is_never_compiled(trace, tmp_path):
    """A whole model whose generated modules carry other source: it loads, and computes what the hyperparameters say."""
    module = make_module()
    expected = load(save_pickle(module, tmp_path / "good.model")).module
    contraction = module.products[0].symmetric_contractions.contractions[0]
    code = f"open({str(trace)!r}, 'w').close()"
    source = f"{code}\ndef forward(self, *args):\n    {code}\n"
    contraction._modules["graph_opt_main"] = Call(torch.fx.graph_module.reduce_graph_module, {"_code": source}, source)
    loaded = load(save_pickle(module, tmp_path / "hostile.model")).module
    assert not trace.exists()
    ours, theirs = (m.products[0].symmetric_contractions.contractions[0].graph_opt_main for m in (loaded, expected))
    assert ours.code == theirs.code
    assert not trace.exists()


def test_nested_archive_of_torchscript_is_read_by_the_same_rules(trace, tmp_path):
    buffer = io.BytesIO()
    torch.save(Call(os.system, f"touch {trace}"), buffer)
    module = make_module()
    linear = module.node_embedding.linear
    linear_class = type(linear)
    original = linear_class.__getstate__
    try:
        linear_class.__getstate__ = lambda self: {
            **original(self),
            "__codegen__": {"_compiled_main": buffer.getvalue()},
        }
        path = save_pickle(module, tmp_path / "hostile.model")
    finally:
        linear_class.__getstate__ = original
    with pytest.raises(UnsafeModelError):
        load(path)
    assert not trace.exists()


def test_old_layout_without_zip_is_refused(trace, tmp_path):
    path = tmp_path / "legacy.model"
    torch.save(Call(os.system, f"touch {trace}"), path, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelFileError, match=r"not written by torch\.save"):
        load(path)
    assert not trace.exists()


def test_plain_pickle_and_other_layouts_are_refused(trace, tmp_path):
    hostile = pickle.dumps(Call(os.system, f"touch {trace}"))
    path = tmp_path / "hostile.model"
    path.write_bytes(hostile)
    with pytest.raises(ModelFileError):
        load(path)
    for names in (["data.pkl"], ["a/data.pkl", "b/data.pkl"], ["a/constants.pkl"]):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, hostile)
        with pytest.raises(ModelFileError, match="holds no pickle of PyTorch"):
            load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", hostile)
        archive.writestr("a/constants.pkl", hostile)
    with pytest.raises(UnsafeModelError):
        load(path)
    assert not trace.exists()


def test_torchscript_archive_is_no_model(tmp_path):
    with jit_without_warning():
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    with pytest.raises(ModelFileError):
        load(tmp_path / "script.pt")


def raw_archive(path, stream):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", stream)
        archive.writestr("a/data/0", bytes(32))
    return path


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08tQ"


@pytest.mark.parametrize(
    "stream",
    [
        b"cmace.modules.models\nScaleShiftMACE\n}X\x04\x00\x00\x00argsNsb.",  # state of the stand-in class itself
        b"cmace.modules.models\nScaleShiftMACE\nN}X\x04\x00\x00\x00argsNs\x86b.",
        b"ccollections\nOrderedDict\nN}X\x06\x00\x00\x00updateNs\x86b.",
        b"ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\x00\x00\x00__code__Ns\x86b.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00zip" + b"tR.",
        b"cbuiltins\nset\n(K\x01K\x02tR.",
        b"Vdata\nQ.",
        b"(" * 1000 + b".",
        b"\x82\x01.",  # extension registry
        b"cmace.modules.models\nScaleShiftMACE.__init__.__globals__\n.",
        b"\x80\x04\x8c\x14mace.modules.models\x8c\x1dScaleShiftMACE.__init__.x\x93.",
    ],
    ids=range(11),
)
def test_malformed_pickles(stream, tmp_path):
    with pytest.raises(ModelFileError):
        load(raw_archive(tmp_path / "malformed.model", stream))


@pytest.mark.parametrize(
    "view",
    [
        b"K\x00K\x09\x85K\x01\x85",  # one number too many
        b"K\x01K\x08\x85K\x01\x85",  # offset
        b"K\x00K\x04\x85K\x03\x85",  # stride
        b"J\xff\xff\xff\xffK\x04\x85K\x01\x85",  # negative offset
        b"K\x00K\x7f\x85K\x00\x85",  # repeats what is there
        b"K\x00X\x01\x00\x00\x00a\x85K\x01\x85",  # no number at all
    ],
    ids=range(6),
)
def test_tensors_stay_inside_their_storage(view, tmp_path):
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + view + b"\x89ccollections\nOrderedDict\n)RtR"
    state = b"}X\x08\x00\x00\x00_buffers}X\x01\x00\x00\x00x" + tensor + b"ss"
    stream = b"cmace.modules.models\nScaleShiftMACE\n)R" + state + b"b."
    record = pickled.read_model_file(raw_archive(tmp_path / "tensor.model", stream))
    with pytest.raises(ModelFileError):
        record.read_state()


def test_tensors_are_read(tmp_path):
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + STORAGE
        + b"K\x02K\x03\x85K\x02\x85\x89ccollections\nOrderedDict\n)RtR"
    )
    state = b"}X\x08\x00\x00\x00_buffers}X\x01\x00\x00\x00x" + tensor + b"ss"
    path = raw_archive(tmp_path / "tensor.model", b"cmace.modules.models\nScaleShiftMACE\n)R" + state + b"b.")
    assert torch.equal(pickled.read_model_file(path).read_state()["x"], torch.zeros(3))


def test_big_endian_files_are_refused(tmp_path):
    path = raw_archive(tmp_path / "big.model", b"N.")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/byteorder", "big")
    with pytest.raises(ModelFileError, match="big-endian"):
        load(path)


def test_the_list_holds_no_name_that_files_of_this_architecture_do_not_need(multihead_file, tmp_path):
    """Every name on the list is asked for by some file here, so none is on it by accident."""
    asked = set()

    class Recorder(pickled._InertUnpickler):
        def find_class(self, module, name):
            asked.add((module, name))
            return super().find_class(module, name)

    import dataclasses

    from ..conftest import TINY

    density = {
        "interaction_cls": "RealAgnosticDensityResidualInteractionBlock",
        "interaction_cls_first": "RealAgnosticDensityInteractionBlock",
    }
    files = [multihead_file, save_pickle(make_module(), tmp_path / "tiny.model")]
    files.append(save_pickle(make_module(dataclasses.replace(TINY, **density)), tmp_path / "density.model"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pickled, "_InertUnpickler", Recorder)
        for path in files:
            pickled.read_model_file(path).read_state()
    assert asked >= pickled._KNOWN_NAMES

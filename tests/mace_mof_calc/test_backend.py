import subprocess
import sys
import warnings

import pytest

from mace_mof_calc.backend import jit_without_warning

CODE = """
import os
import torch

before = os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
if {allow_slice}:
    torch.serialization.add_safe_globals([slice])

from mace_mof_calc.backend import import_mace

mace = import_mace()
import mace.modules, mace.calculators.mace

assert import_mace() is mace
assert os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") == before
assert (slice in torch.serialization.get_safe_globals()) is {allow_slice}
"""


def run(code: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_importing_mace_leaves_no_trace(monkeypatch):
    """The variable that mace sets is unset again; nothing is allowed for good, printed, or warned of."""
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    assert run(CODE.format(allow_slice=False)) == (0, "", "")


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert run(CODE.format(allow_slice=True)) == (0, "", "")


@pytest.mark.parametrize("category", [DeprecationWarning, FutureWarning])
def test_no_version_of_pytorch_warns_of_its_jit(category):
    with jit_without_warning():
        warnings.warn("`torch.jit.script` is deprecated. Please switch to `torch.compile`.", category, stacklevel=1)
    with pytest.warns(category, match="other"), jit_without_warning():
        warnings.warn("other", category, stacklevel=1)

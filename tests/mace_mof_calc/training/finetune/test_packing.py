"""What goes with a packed model."""

from mace_mof_calc.models.loading import load
from mace_mof_calc.models.packed import read_packed
from mace_mof_calc.training.finetune.curves import HeadErrors
from mace_mof_calc.training.finetune.model import describe_module
from mace_mof_calc.training.finetune.packing import pack
from mace_mof_calc.training.finetune.recipe import Description
from mace_mof_calc.training.finetune.start import read_foundation

from ...conftest import make_module


def test_a_fingerprint_is_recorded_where_the_elements_allow_it(tiny_packed, tmp_path, crystal):
    path = pack(
        describe_module(make_module()),
        tmp_path / "x",
        Description("LJ"),
        foundation=read_foundation(str(tiny_packed), None),
        frames=[crystal] * 3,
        test=[HeadErrors(1, "Default", 0.1, 0.0015, 0.001, 0.02, 0.01, None, None)],
    )
    packed = read_packed(path)
    assert packed.fingerprint.structure == "MIL-53"
    assert [(row.quantity, row.result) for row in packed.card.validation] == [
        ("frames never seen, head Default: energy RMSE / (meV/atom)", "1.5"),
        ("frames never seen, head Default: forces RMSE / (meV/A)", "20"),
    ]
    assert not packed.card.dispersion_included  # as in the foundation model
    assert packed.card.licence == "MIT (of tiny)"
    assert load(path).card == packed.card
    assert not path.with_suffix(".domain.safetensors").exists()  # too few frames

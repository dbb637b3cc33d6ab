"""Settings that make no sense are refused, with the value."""

import pytest

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.sample.settings import KINDS, Settings


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kinds": ("md", "mc")}, "no kind 'mc'.*relax, strain, md"),
        ({"kinds": ()}, "No kind"),
        ({"temperatures": (300.0, 0.0)}, r"temperatures is 0\.0"),
        ({"timestep": -0.5}, r"timestep is -0\.5"),
        ({"timestep": float("nan")}, "timestep is nan"),
        ({"pressure": float("nan")}, "pressure is nan"),
        ({"rattle_sigma": float("inf")}, "rattle_sigma is inf"),
        ({"steps": 10, "every": 20}, "every 20 steps of 10"),
        ({"strains": (0.1, -0.1)}, r"smallest strain is 0\.1"),
        ({"strains": (-1.0, 0.1)}, r"strains is -1\.0"),
        ({"relax_frames": 1}, "relax_frames is 1"),
        ({"rattle_sigma": -0.1}, "rattle_sigma"),
        ({"min_frequency": 0.0}, "min_frequency"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_make_no_sense(wrong, named):
    with pytest.raises(TrainingError, match=named):
        Settings(**wrong)


def test_the_papers_values_are_the_defaults():
    usual = Settings()
    assert usual.kinds == ("relax", "strain", "md")
    assert (usual.strains, usual.strain_frames, usual.relax_frames) == ((-0.1, 0.1), 6, 10)
    assert set(usual.kinds) < set(KINDS)

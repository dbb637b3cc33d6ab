"""Rates and scales along the steps."""

import pytest

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.curvature.schedule import Schedule


def test_rates_fall_as_a_cosine_after_they_have_risen():
    schedule = Schedule(steps=1000, rates=(1e-2, 1e-4))
    assert schedule.rate(0) == pytest.approx(1e-2 / 50)
    assert schedule.rate(500) == pytest.approx((1e-2 + 1e-4) / 2)
    assert schedule.rate(1000) == pytest.approx(1e-4)


def test_scales_tighten_until_six_tenths():
    schedule = Schedule(steps=1000, tighten=(0.2, 0.5))
    assert [schedule.progress(step) for step in (0, 300, 600, 1000)] == pytest.approx([0.2, 0.35, 0.5, 0.5])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "0 steps"),
        ({"batch": 0}, "0 frames in a batch"),
        ({"draws": 0}, "0 draws"),
        ({"rates": (1e-2, 0.0)}, "Learning rates from 0.01 to 0"),
        ({"rates": (float("nan"), 1.0)}, "Learning rates from nan"),
        ({"tighten": (0.0, 1.5)}, "Scales from 0 to 1.5"),
        ({"seed": -1}, "The seed -1"),
    ],
)
def test_what_makes_no_sense_is_refused(values, message):
    with pytest.raises(TrainingError, match=message):
        Schedule(**values)

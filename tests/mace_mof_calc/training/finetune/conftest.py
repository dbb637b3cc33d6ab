"""Models as data."""

import dataclasses

import pytest

from mace_mof_calc.training.finetune.model import describe_module

from ...conftest import TINY, make_module

VARIANTS = {
    "as MACE-MP-0b": {"pair_repulsion": True, "distance_transform": "Agnesi"},
    "all kinds of blocks": {
        "interaction_cls": "RealAgnosticDensityInteractionBlock",
        "interaction_cls_first": "RealAgnosticResidualInteractionBlock",
        "correlation": (3, 2),
    },
}


@pytest.fixture(params=list(VARIANTS))
def blueprint(request):
    """Model with random parameters and one head, of H C O Al Zn Zr."""
    return describe_module(make_module(dataclasses.replace(TINY, **VARIANTS[request.param])))

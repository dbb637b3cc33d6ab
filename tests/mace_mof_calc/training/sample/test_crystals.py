"""Names of crystals and frames, and random numbers that go with names."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.sample.crystals import check_elements, make_frame, make_stream, prepare_crystals


def test_crystals_carry_a_name_and_nothing_else():
    named, called, nameless = bulk("Cu"), bulk("Al"), bulk("NaCl", "rocksalt", a=5.6)
    named.info |= {"source": "one", "name": "other", "REF_energy": 1.0}
    named.arrays["REF_forces"] = np.ones((1, 3))
    named.set_momenta([[1, 2, 3]])
    called.info["name"] = 2
    crystals = prepare_crystals([named, called, nameless])
    assert [atoms.info for atoms in crystals] == [{"source": "one"}, {"source": "2"}, {"source": "ClNa-2"}]
    assert set(crystals[0].arrays) == {"numbers", "positions"}
    assert (crystals[0].cell == named.cell).all()


def test_crystals_that_cannot_be_sampled():
    with pytest.raises(TrainingError, match="Two crystals are called CIF"):
        prepare_crystals([Atoms("C", cell=[5, 5, 5], pbc=True, info={"source": "CIF"})] * 2)
    for cell, pbc in (([5, 5, 5], [1, 1, 0]), ([5, 5, 0], True)):
        with pytest.raises(TrainingError, match="C-0 is not periodic"):
            prepare_crystals([Atoms("C", cell=cell, pbc=pbc)])


def test_elements_have_to_be_known():
    crystals = prepare_crystals([bulk("Cu"), bulk("NaCl", "rocksalt", a=5.6), bulk("CsCl", "cesiumchloride", a=4.1)])
    check_elements(crystals, "it", ["Cs", "Cl", "Cu", "Na"])
    with pytest.raises(TrainingError, match=r"it does not know Cl, Cs of ClCs-2\. Its elements are Cu Na\."):
        check_elements([crystals[0], crystals[2]], "it", ["Cu", "Na"])


def test_frames():
    atoms = bulk("Cu")
    atoms.set_momenta([[1, 2, 3]])
    frame = make_frame(atoms, "X", "md", "7")
    assert frame.info == {"source": "X", "kind": "md", "name": "X-md-7"}
    assert not frame.has("momenta")
    frame.positions += 1
    assert atoms.positions.max() == 0


def test_streams_differ_and_repeat():
    first = make_stream(1, "a", 1).random(3)
    assert (make_stream(1, "a", 1).random(3) == first).all()
    for other in ((2, "a", 1), (1, "a", 2), (1, "a1"), (1, "b", 1)):
        assert not (make_stream(*other).random(3) == first).any()

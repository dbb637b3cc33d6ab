"""What is dropped, and what is not."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.sample.physical import find_fault, has_cell_fault, keep_physical
from mace_mof_calc.training.sample.settings import Limits

STILL = np.zeros((2, 3))


def make_pair(distance, **options):
    return Atoms("CC", positions=[[0, 0, 0], [distance, 0, 0]], cell=[8, 8, 8], pbc=True, **options)


def test_contacts():
    crystal = make_pair(1.5)
    # The sum of the covalent radii of two carbon atoms is 1.52 A.
    assert find_fault(make_pair(0.93), crystal, Limits(contact=0.6), STILL) is None
    assert find_fault(make_pair(0.90), crystal, Limits(contact=0.6), STILL) == "contact: C 0 and C 1 at 0.90 Angstrom"
    assert find_fault(make_pair(0.90), crystal, Limits(contact=0.5), STILL) is None
    assert find_fault(make_pair(0.90), crystal, Limits(contact=0.6), STILL, contacts=False) is None
    across = make_pair(7.5)
    assert "at 0.50" in find_fault(across, crystal, Limits(), STILL)


def test_cells():
    crystal = make_pair(1.5)
    turned = crystal.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    assert find_fault(turned, crystal, Limits(), STILL) is None
    for deformation, factors in (
        (1.6 * np.eye(3), "1.60 to 1.60"),
        (np.diag([1, 1, 0.6]), "0.60 to 1.00"),
        ([[1, 0, 0], [2, 1, 0], [0, 0, 1]], "0.41 to 2.41"),  # the volume stays
    ):
        strained = crystal.copy()
        strained.set_cell(crystal.cell.array @ deformation)
        fault = find_fault(strained, crystal, Limits(), STILL)
        assert fault == f"exploded cell: {factors} times the crystal's"
        assert has_cell_fault(fault)
        assert find_fault(strained, crystal, Limits(stretch=3), STILL) is None


def test_forces():
    crystal = make_pair(1.5)
    forces = np.array([[0, 0, 0], [18.0, 24.0, 0]])
    assert find_fault(crystal, crystal, Limits(force=30.1), forces) is None
    fault = find_fault(crystal, crystal, Limits(force=29.9), forces)
    assert fault == "force: 30.0 eV/Angstrom on C 1"
    assert not has_cell_fault(fault)


@pytest.mark.parametrize("broken", ["positions", "cell", "forces"])
def test_what_is_no_number(broken):
    crystal, forces = make_pair(1.5), STILL.copy()
    atoms = crystal.copy()
    {"positions": atoms.positions, "cell": atoms.cell.array, "forces": forces}[broken][0, 0] = np.nan
    if broken == "cell":
        atoms.cell[0, 0] = np.nan
    fault = find_fault(atoms, crystal, Limits(), forces)
    assert fault.startswith("not finite")
    assert has_cell_fault(fault)


def test_frames_are_evaluated_kept_and_counted(unreliable):
    crystal = bulk("Cu", cubic=True)
    frames = []
    for name, scale in (("good", 1.0), ("squeezed", 0.6), ("compressed", 0.8), ("late", 1.0)):
        frame = crystal.copy()
        frame.set_cell(crystal.cell * scale, scale_atoms=True)
        frame.positions[0] += 0.05
        frame.info["name"] = name
        frames.append(frame)
    part = keep_physical(frames, crystal, unreliable(3), Limits(force=1.0))
    assert [frame.info["name"] for frame in part.frames] == ["good"]
    assert part.frames[0].calc is None
    reasons = {each.name: each.reason for each in part.dropped}
    assert reasons["squeezed"].startswith("exploded cell: 0.60")
    assert reasons["compressed"].startswith("force: ")
    assert reasons["late"] == "calculation failed: CalculationFailed: no convergence"
    assert len(keep_physical(frames, crystal, EMT(), Limits(contact=0.1, stretch=2, force=1e3)).frames) == 4


@pytest.mark.parametrize("wrong", [{"contact": 1.0}, {"contact": -0.1}, {"stretch": 1.0}, {"force": 0.0}])
def test_limits_that_make_no_sense(wrong):
    with pytest.raises(TrainingError, match=str(next(iter(wrong.values())))):
        Limits(**wrong)

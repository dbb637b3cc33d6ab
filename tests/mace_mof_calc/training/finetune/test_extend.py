"""New elements: nothing changes without them, and each is what it began as."""

import numpy as np
import pytest
import torch
from ase.calculators.calculator import Calculator, all_changes

from mace_mof_calc.frames import Labels, attach_labels
from mace_mof_calc.training.finetune.extend import Blueprint, choose_stand_ins, extend, mark_own, substitute

ENERGIES = "atomic_energies_fn.atomic_energies"
STAND_INS = {7: 6, 29: 30, 92: 40}  # first, in the middle, and last of the table


def test_structures_of_known_elements_keep_their_results(blueprint, crystal, evaluate_with_mace):
    extended = extend(blueprint, STAND_INS)
    assert extended.hyperparameters.atomic_numbers == (1, 6, 7, 8, 13, 29, 30, 40, 92)
    before, after = (evaluate_with_mace(model, crystal) for model in (blueprint, extended))
    np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("blueprint", ["all kinds of blocks"], indirect=True)  # whose distances know no element
def test_a_new_element_begins_as_its_stand_in(blueprint, crystal, evaluate_with_mace):
    new = crystal.copy()
    new.numbers[new.numbers == 6] = 7
    new.numbers[new.numbers == 30] = 29
    known = substitute(new, STAND_INS)
    assert set(known.numbers) == {1, 6, 8, 30}
    found = evaluate_with_mace(extend(blueprint, STAND_INS), new)
    expected = evaluate_with_mace(blueprint, known)
    free = dict(
        zip(blueprint.hyperparameters.atomic_numbers, blueprint.state[ENERGIES].flatten().tolist(), strict=True)
    )
    expected[0] -= sum(free[int(z)] for z in known.numbers if z in (6, 30))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_what_belongs_to_an_element_does_not_matter_without_it(blueprint, crystal, evaluate_with_mace):
    def change(number):
        marks = mark_own(blueprint, [number])
        assert {name for name, mark in marks.items() if mark.any()} == {
            name for name in blueprint.state if "embedding.linear" in name or "skip_tp" in name or "symmetric" in name
        }
        assert all(mark.sum() * 6 == mark.numel() for mark in marks.values() if mark.any())
        state = {name: torch.where(marks[name], 1.5 * tensor + 0.1, tensor) for name, tensor in blueprint.state.items()}
        return evaluate_with_mace(Blueprint(blueprint.hyperparameters, state), crystal)

    before = evaluate_with_mace(blueprint, crystal)
    assert 13 not in crystal.numbers
    np.testing.assert_array_equal(change(13), before)
    for number in set(crystal.numbers):
        assert np.abs(change(number) - before).max() > 1e-6


class Pulls(Calculator):
    """The force on an atom is a number of its element."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012
    of_element = {1: 1.0, 6: 3.0, 8: 2.0, 30: 7.0}  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        forces = np.array([[self.of_element[int(z)], 0.0, 0.0] for z in atoms.numbers])
        self.results = {"energy": 0.0, "forces": forces}


def test_the_stand_in_is_the_one_whose_forces_are_nearest(crystal):
    # Nitrogen pulls as zinc does, and copper as oxygen: neither is alike in size.
    crystal.numbers = [1, 7, 8, 29]
    forces = np.array([[pull, 0.0, 0.0] for pull in (1.0, 6.8, 2.0, 2.1)])
    frame = attach_labels(crystal, Labels(0.0, forces, None))
    assert choose_stand_ins([frame], [1, 6, 8, 30], [7, 29], Pulls()) == {7: 30, 29: 8}

"""New elements: nothing changes without them, and each is what it began as."""

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from mace_mof_calc.frames import Labels, attach_labels
from mace_mof_calc.training.finetune.extend import choose_stand_ins, extend, substitute

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

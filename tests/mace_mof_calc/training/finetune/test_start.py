"""Energies of free atoms in what is fine-tuned."""

import numpy as np
import pytest
from ase import Atoms
from metals import make_free_atom

from mace_mof_calc import MaceMOF
from mace_mof_calc.frames import Labels, attach_labels
from mace_mof_calc.training.finetune.extend import substitute
from mace_mof_calc.training.finetune.recipe import Recipe
from mace_mof_calc.training.finetune.start import read_foundation, tune

STAND_INS = {7: 6}
SHIFTS = {1: 0.25, 7: -3.0, 8: 0.5}


@pytest.fixture(scope="module")
def foundation(tiny_packed):
    return read_foundation(str(tiny_packed), None)


@pytest.fixture(scope="module")
def frames(foundation, tiny_packed):
    """Molecules whose energies are the model's, nitrogen taken for carbon, with a shift for each atom."""
    calculator, frames = MaceMOF(tiny_packed, device="cpu"), []
    random = np.random.default_rng(1)
    for formula in ("NO", "N2O", "H3N", "H2O", "N2H4"):
        atoms = Atoms(formula, positions=random.uniform(0, 3, size=(len(Atoms(formula)), 3)))
        calculator.calculate(substitute(atoms, STAND_INS))
        energy = calculator.results["energy"] + sum(SHIFTS[int(z)] for z in atoms.numbers)
        frames.append(attach_labels(atoms, Labels(energy, calculator.results["forces"], None)))
    return frames


def energies(model, head):
    row = model.state["atomic_energies_fn.atomic_energies"][model.hyperparameters.heads.index(head)]
    return dict(zip(model.hyperparameters.atomic_numbers, row.tolist(), strict=True))


def test_a_fit_finds_all_shifts(foundation, frames):
    known = foundation.energies
    model = tune(foundation, STAND_INS, frames, [], Recipe(energies="fit"), replay=True)
    found = energies(model, "Default")
    expected = {**known, 1: known[1] + 0.25, 8: known[8] + 0.5, 7: known[6] - 3.0}
    assert found == pytest.approx(expected, abs=1e-6)
    replayed = energies(model, "pt_head")
    assert {number: replayed[number] for number in known} == pytest.approx(known)


def test_by_default_the_foundation_model_is_kept_to(foundation, frames):
    known = foundation.energies
    found = energies(tune(foundation, STAND_INS, frames, [], Recipe(), replay=False), "Default")
    assert {number: found[number] for number in known} == pytest.approx(known)
    assert found[7] == pytest.approx(known[6] - 3.0, abs=0.5)  # the others' shifts are in it


def test_free_atoms_come_first(foundation, frames):
    free = [make_free_atom("N", -1.0), make_free_atom("O", -2.0)]
    for recipe in (Recipe(), Recipe(energies="fit")):
        found = energies(tune(foundation, STAND_INS, frames, free, recipe, replay=False), "Default")
        assert (found[7], found[8]) == (-1.0, -2.0)
        assert (found[1] == foundation.energies[1]) == (recipe.energies == "foundation")


def test_one_head_of_several(multihead_file):
    replay = read_foundation(str(multihead_file), "pt_head")
    assert (replay.loaded.heads, replay.model.hyperparameters.heads) == (("pt_head",), ("pt_head",))

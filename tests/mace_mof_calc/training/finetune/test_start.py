"""Energies of atoms in what is fine-tuned."""

import numpy as np
import pytest
from ase import Atoms
from metals import make_free_atom

from mace_mof_calc import MaceMOF
from mace_mof_calc.errors import TrainingError
from mace_mof_calc.frames import Labels, attach_labels
from mace_mof_calc.training.finetune import start
from mace_mof_calc.training.finetune.extend import substitute
from mace_mof_calc.training.finetune.recipe import Recipe
from mace_mof_calc.training.finetune.start import TOLERANCE, read_foundation, tune

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


@pytest.fixture(autouse=True)
def only_energies(monkeypatch):
    """The energies that the heads are made with stand for the network, which `test_model` looks at."""
    monkeypatch.setattr(start, "extend", lambda model, stand_ins: model)
    monkeypatch.setattr(start, "add_heads", lambda model, heads: heads)


def test_a_fit_finds_all_shifts(foundation, frames):
    known = foundation.model.energies
    model = tune(foundation, STAND_INS, frames, [], Recipe(energies="fit"), replay=True)
    found = model["Default"]
    expected = {**known, 1: known[1] + 0.25, 8: known[8] + 0.5, 7: known[6] - 3.0}
    assert found == pytest.approx(expected, abs=1e-6)
    replayed = model["pt_head"]
    assert {number: replayed[number] for number in known} == pytest.approx(known)


def test_by_default_the_foundation_model_is_kept_to(foundation, frames):
    known = foundation.model.energies
    found = tune(foundation, STAND_INS, frames, [], Recipe(), replay=False)["Default"]
    assert {number: found[number] for number in known} == pytest.approx(known)
    assert found[7] == pytest.approx(known[6] - 3.0, abs=0.5)  # the others' shifts are in it


@pytest.fixture
def labelled(foundation, tiny_packed):
    """Function of a shift in eV by element, that returns molecules with the energies of the model and the shifts."""

    def make(shifts):
        calculator, random = MaceMOF(tiny_packed, device="cpu"), np.random.default_rng(2)
        molecules = []
        for formula in ("H2O", "CO2", "CH4", "C2H2O"):
            atoms = Atoms(formula, positions=random.uniform(0, 3, size=(len(Atoms(formula)), 3)))
            energy = calculator.get_potential_energy(atoms) + sum(shifts.get(symbol, 0.0) for symbol in atoms.symbols)
            molecules.append(attach_labels(atoms, Labels(energy, calculator.get_forces(atoms), None)))
        return molecules

    return make


@pytest.mark.parametrize("energies_of", ["foundation", "fit"])
def test_free_atoms_that_nobody_asked_for_change_nothing(foundation, frames, energies_of):
    free = [make_free_atom("N", -70.0), make_free_atom("O", -90.0)]
    recipe = Recipe(energies=energies_of)
    with_free, without = (tune(foundation, STAND_INS, frames, each, recipe, replay=False) for each in (free, []))
    assert with_free["Default"] == without["Default"]


def test_free_atoms_count_where_both_count_from_them(foundation, labelled):
    known, shifts = foundation.model.energies, {"H": 0.5, "O": -2.0}
    free = [make_free_atom(symbol, known[z] + shifts[symbol]) for symbol, z in (("H", 1), ("O", 8))]
    model = tune(foundation, {}, labelled(shifts), free, Recipe(energies="free"), replay=True)
    assert model["Default"] == pytest.approx({**known, 1: known[1] + 0.5, 8: known[8] - 2.0})
    assert model["pt_head"] == pytest.approx(known)


def test_free_atoms_of_another_kind_than_the_foundation_models_are_refused(foundation, labelled):
    """The model is right; with true free atoms it would be wrong by electronvolts."""
    molecules, known = labelled({}), foundation.model.energies
    free = [make_free_atom("H", known[1] + 5.0), make_free_atom("C", known[6] + 5.0), make_free_atom("O", known[8] + 5)]
    with pytest.raises(TrainingError, match=r"begin 5.00 eV/atom .* Without them it is 0.00:"):
        tune(foundation, {}, molecules, free, Recipe(energies="free"), replay=False)
    near = [make_free_atom("H", known[1] + 0.9 * TOLERANCE)]
    model = tune(foundation, {}, molecules, near, Recipe(energies="free"), replay=False)
    assert model["Default"][1] == known[1] + 0.9 * TOLERANCE


def test_the_energy_of_a_new_free_atom_counts_where_asked_for(foundation, frames):
    known = foundation.model.energies
    free = [make_free_atom(symbol, known[z] + shift) for symbol, z, shift in (("H", 1, 0.25), ("O", 8, 0.5))]
    model = tune(
        foundation,
        STAND_INS,
        frames,
        [*free, make_free_atom("N", known[6] - 3.0)],
        Recipe(energies="free"),
        replay=False,
    )
    assert model["Default"][7] == known[6] - 3.0
    # Without it, what the other free atoms leave is its own.
    model = tune(foundation, STAND_INS, frames, free, Recipe(energies="free"), replay=False)
    assert model["Default"][7] == pytest.approx(known[6] - 3.0)


def test_a_rare_new_element_is_fitted_too(foundation, frames, monkeypatch):
    """Its one frame is none of those that energies would else be fitted to."""
    water = next(atoms for atoms in frames if 7 not in atoms.numbers)
    ammonia = next(atoms for atoms in frames if str(atoms.symbols) == "H3N")
    monkeypatch.setattr(start, "FITTED", 2)
    many = [water, water, ammonia, water, water]
    found = tune(foundation, STAND_INS, many, [], Recipe(), replay=False)["Default"]
    assert found[7] == pytest.approx(foundation.model.energies[6] - 3.0 + 3 * SHIFTS[1])


def test_one_head_of_several(multihead_file):
    replay = read_foundation(str(multihead_file), "pt_head")
    assert (replay.loaded.heads, replay.model.hyperparameters.heads) == (("pt_head",), ("pt_head",))

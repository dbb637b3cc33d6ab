import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose
from phonopy import Phonopy

from phonopy_mlp.errors import CalculatorError
from phonopy_mlp.evaluator import Evaluator
from phonopy_mlp.structures import to_phonopy


class Batched(EMT):
    """EMT that takes several structures at once."""

    sizes: tuple[int, ...] = ()

    def calculate_batch(self, structures):
        self.sizes = (*self.sizes, len(structures))
        return [{p: EMT().get_property(p, atoms) for p in ("energy", "forces", "stress")} for atoms in structures]


class Exploding(Calculator):
    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.results = {"energy": np.nan, "forces": np.zeros((len(atoms), 3))}


def sheared():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array @ [[1, 0.02, 0.01], [0, 1, 0.03], [0, 0, 1.01]], scale_atoms=True)
    atoms.rattle(0.05, seed=3)
    return atoms


def test_units_and_order_are_ases_own():
    atoms = sheared()
    energies, forces, stresses = Evaluator(EMT()).evaluate([to_phonopy(atoms)])
    atoms.calc = EMT()
    assert energies[0] == pytest.approx(atoms.get_potential_energy())
    assert_allclose(forces[0], atoms.get_forces(), atol=1e-12)
    full = atoms.get_stress(voigt=False)
    assert_allclose(stresses[0], [full[0, 0], full[1, 1], full[2, 2], full[0, 1], full[1, 2], full[0, 2]], atol=1e-12)


def test_phonopy_takes_it_as_its_mlp():
    phonon = Phonopy(to_phonopy(bulk("Cu")), np.diag([2, 2, 2]), primitive_matrix="P")
    phonon.generate_displacements(distance=0.01)
    phonon.mlp = Evaluator(EMT())
    phonon.evaluate_mlp()
    phonon.produce_force_constants()
    phonon.run_qpoints([[0, 0.5, 0.5]])
    assert phonon.qpoints.frequencies[0, 0] > 3


def test_a_batched_calculator_gets_batches_and_gives_the_same():
    cells = []
    for seed in range(11):
        atoms = sheared()
        atoms.rattle(0.02, seed=seed)
        cells.append(to_phonopy(atoms))
    batched = Batched()
    together, alone = Evaluator(batched).evaluate(cells), Evaluator(EMT()).evaluate(cells)
    assert batched.sizes == (8, 3)
    for ours, theirs in zip(together, alone, strict=True):
        assert_allclose(ours, theirs, atol=1e-12)


def test_numbers_that_are_not_finite_are_an_error():
    with pytest.raises(CalculatorError, match="not finite for supercell 1"):
        Evaluator(Exploding()).evaluate([to_phonopy(bulk("Cu"))])


def test_a_failing_calculator_names_the_supercell():
    with pytest.raises(CalculatorError, match=r"failed on supercell 1 \(W\)"):
        Evaluator(EMT()).evaluate([to_phonopy(bulk("W"))])

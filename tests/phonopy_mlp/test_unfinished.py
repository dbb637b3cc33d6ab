"""A killed run goes on where it was, and never with what belongs to another question."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose
from springs import ExactSprings

from phonopy_mlp.cli.main import main
from phonopy_mlp.errors import CalculatorError, ConvergenceError
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.relax import relax
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished


class Killed(Exception):
    pass


class Mortal(EMT):
    """Dies after so many evaluations."""

    def __init__(self, life: int) -> None:
        super().__init__()
        self.life = life

    def calculate(self, *args, **kwargs):
        if self.life == 0:
            raise Killed
        self.life -= 1
        super().calculate(*args, **kwargs)


def alloy():
    return make_phonopy(bulk("CuAu", "rocksalt", a=5.0), np.diag([2, 2, 2]))


def test_supercells_are_not_computed_twice(tmp_path):
    whole = compute_force_constants(alloy(), EMT())
    assert whole.evaluations == 3
    kept = Unfinished(tmp_path / "kept")
    with pytest.raises(CalculatorError, match="supercell 3"):
        compute_force_constants(alloy(), Mortal(2), unfinished=kept)
    result = compute_force_constants(alloy(), Mortal(1), unfinished=Unfinished(tmp_path / "kept"))
    assert np.array_equal(result.force_constants, whole.force_constants)
    # All is there now, and nothing is computed.
    again = compute_force_constants(alloy(), Mortal(0), unfinished=Unfinished(tmp_path / "kept"))
    assert np.array_equal(again.force_constants, whole.force_constants)


class MortalSprings(ExactSprings):
    life = 1

    def atom_response(self, atoms, index, directions):
        if self.life == 0:
            raise Killed
        self.life -= 1
        return super().atom_response(atoms, index, directions)


def test_atoms_of_linear_response_are_not_computed_twice(tmp_path):
    # Without symmetry each of the two atoms is displaced.
    def crystal():
        return make_phonopy(bulk("Cu", "hcp", a=2.5, c=4.0), np.diag([2, 2, 2]), is_symmetry=False)

    arguments = 4.0, 2.5, 3.0
    whole = compute_force_constants(crystal(), ExactSprings(*arguments))
    with pytest.raises(CalculatorError, match="Killed"):
        compute_force_constants(crystal(), MortalSprings(*arguments), unfinished=Unfinished(tmp_path))
    second = MortalSprings(*arguments)
    result = compute_force_constants(crystal(), second, unfinished=Unfinished(tmp_path))
    assert second.life == 0
    assert np.array_equal(result.force_constants, whole.force_constants)


def test_another_question_has_another_section(tmp_path):
    def section(calculator, origin="emt", **question):
        return Unfinished(tmp_path, model=origin).section(calculator, **question).path

    same = section(EMT(), positions=np.zeros(3))
    assert section(EMT(), positions=np.zeros(3)) == same
    others = [
        section(EMT(), positions=np.array([0, 0, 1e-15])),
        section(EMT(), origin="other", positions=np.zeros(3)),
        section(EMT(asap_cutoff=True), positions=np.zeros(3)),
        section(EMT(), positions=np.zeros(3), more=1),
    ]
    assert len({same, *others}) == 5


def test_a_part_that_cannot_be_read_was_not_finished(tmp_path):
    section = Unfinished(tmp_path).section(EMT())
    assert section.get("part") is None
    section.keep("part", forces=np.ones((2, 3)), energy=1.0)
    kept = section.get("part")
    assert kept is not None
    assert_allclose(kept["forces"], 1.0)
    path = section.path / "part.npz"
    for content in (b"", b"nonsense", path.read_bytes()[:-30]):
        path.write_bytes(content)
        assert section.get("part") is None


def test_removing_leaves_what_other_runs_left(tmp_path):
    folder = tmp_path / "kept"
    mine, other = Unfinished(folder), Unfinished(folder)
    mine.section(EMT()).keep("part", x=1.0)
    theirs = other.section(EMT(), more=1)
    theirs.keep("part", x=1.0)
    mine.remove()
    assert [path.name for path in folder.iterdir()] == [theirs.path.name]
    other.remove()
    assert not folder.exists()
    other.remove()


def test_the_command_goes_on_and_leaves_nothing_behind(registered, workdir, monkeypatch, capfd):
    line = ["run", "--mlp", "emt", "Cu.cif", "--dim", "2", "2", "2", "--pm", "--amplitude", "0.01"]
    calculate, calls = EMT.calculate, []

    def count(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        calculate(self, *args, **kwargs)

    monkeypatch.setattr(EMT, "calculate", count)
    assert main(line) == 130
    assert "the same command goes on from here" in capfd.readouterr().err
    assert len(list(Path(UNFINISHED_FOLDER).rglob("*.npz"))) == 2
    assert not Path("phonopy_params.yaml").exists()
    assert main(line) == 0
    assert len(calls) == 4
    assert not Path(UNFINISHED_FOLDER).exists()


def test_a_finished_relaxation_is_not_done_again(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.02, seed=3)
    first = relax(atoms, Mortal(999), unfinished=Unfinished(tmp_path))
    again = relax(atoms, Mortal(0), unfinished=Unfinished(tmp_path))
    assert np.array_equal(again.atoms.positions, first.atoms.positions)
    assert np.array_equal(again.atoms.cell.array, first.atoms.cell.array)
    for name in ("converged", "energy", "energy_change", "volume_change", "residual_force", "residual_stress", "steps"):
        assert getattr(again, name) == getattr(first, name)
    assert (again.fmax, again.initial_groups, again.final_groups) == (
        first.fmax,
        first.initial_groups,
        first.final_groups,
    )
    with pytest.raises(CalculatorError, match="Killed"):
        relax(atoms, Mortal(0), fmax=1e-7, unfinished=Unfinished(tmp_path))


def test_a_kept_relaxation_that_did_not_converge_is_still_an_error(tmp_path):
    options = {"max_steps": 2, "unfinished": Unfinished(tmp_path)}
    atoms = bulk("Cu", cubic=True, a=3.7)
    assert not relax(atoms, Mortal(999), must_converge=False, **options).converged
    assert not relax(atoms, Mortal(0), must_converge=False, **options).converged
    with pytest.raises(ConvergenceError, match="after 2 steps"):
        relax(atoms, Mortal(999), **options)

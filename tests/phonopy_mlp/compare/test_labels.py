"""Energies, forces and stresses of two methods."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from numpy.testing import assert_allclose
from springs import Springs

from phonopy_mlp.compare.labels import compare_labels, read_labelled
from phonopy_mlp.errors import StructureError


def structures(change=lambda results: results):
    """Return alloys of two sizes with EMT's results, changed."""
    found = []
    for k in range(4):
        atoms = bulk("Cu", cubic=True) * (1, 1, 1 + k % 2)
        atoms.symbols[0] = "Au"
        atoms.rattle(0.1, seed=k)
        atoms.calc = EMT()
        atoms.get_stress()
        atoms.get_forces()
        results = {name: np.array(atoms.calc.results[name]) for name in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **change(results))
        found.append(atoms)
    return found


def shifted(results):
    """Gold's force is 0.3 higher along z, each energy by 0.2, one stress by -0.01."""
    forces = results["forces"].copy()
    forces[0, 2] += 0.3
    stress = results["stress"] + [0, 0, 0, 0, 0, -0.01]
    return {"energy": results["energy"] + 0.2, "forces": forces, "stress": stress}


def test_deviations_are_those_made(tmp_path):
    for name, frames in (("a.extxyz", structures()), ("b.extxyz", structures(shifted))):
        write(tmp_path / name, frames)
    found = compare_labels(read_labelled(tmp_path / "a.extxyz"), read_labelled(tmp_path / "b.extxyz"))
    deviations = found.deviations()
    assert deviations["energy (eV)"].rmsd == pytest.approx(0.2)
    # Structures of 4 and of 8 atoms, in turn.
    assert deviations["energy per atom (eV)"].mae == pytest.approx(0.2 * (1 / 4 + 1 / 8) / 2)
    assert deviations["energy per atom (eV)"].largest == pytest.approx(0.05)
    assert deviations["forces on Au (eV/A)"].rmsd == pytest.approx(0.3 / np.sqrt(3), rel=1e-6)
    assert deviations["forces on Cu (eV/A)"].rmsd == pytest.approx(0, abs=1e-6)
    assert deviations["forces (eV/A)"].count == 3 * 24
    assert deviations["forces (eV/A)"].mae == pytest.approx(0.3 * 4 / 72, rel=1e-6)
    assert deviations["stress (eV/A^3)"].largest == pytest.approx(-0.01)
    assert found.describe()["stress (eV/A^3)"]["mae"] == pytest.approx(0.01 / 6, abs=1e-8)


def test_a_calculator_computes_what_the_structures_have():
    found = compare_labels(structures(lambda results: {"forces": results["forces"]}), EMT())
    assert list(found.deviations()) == ["forces (eV/A)", "forces on Au (eV/A)", "forces on Cu (eV/A)"]
    assert found.all_forces.deviation().rmsd == pytest.approx(0, abs=1e-12)
    other = compare_labels(structures(), Springs(1.0, 2.5, 3.0))
    assert_allclose(other.energies_per_atom.a[0] * 4, structures()[0].get_potential_energy())
    assert other.stresses is not None


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (structures()[:2], "there are 4 of one and 2 of the other"),
        (structures()[::-1], "number 1"),
        ([bulk("Cu")] * 4, "number 1"),
        (structures(lambda results: {}), "in common"),
        (structures(lambda results: {"energy": np.nan}), r"Number 1 \(AuCu3\) .* its energy is not a finite number"),
    ],
)
def test_other_structures_are_refused(other, reason):
    with pytest.raises(StructureError, match=reason):
        compare_labels(structures(), other)

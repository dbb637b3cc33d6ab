"""The embedded model as the calculator of matcalc, in an environment of its own: ``make test-matcalc``."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from mace_mof_calc import MaceMOF, structures

pytestmark = [
    pytest.mark.skipif(find_spec("matcalc") is None, reason="matcalc has an environment of its own: make test-matcalc"),
    pytest.mark.filterwarnings("default"),  # those of matcalc and what it brings
]


def test_relaxation() -> None:
    from matcalc import RelaxCalc

    atoms = structures.load("MOF-74")
    atoms.rattle(0.02, seed=1)
    calculator = MaceMOF("mini")
    result = RelaxCalc(calculator, relax_cell=True, fmax=0.05, max_steps=200).calc(atoms)
    final = result["final_structure"].to_ase_atoms()
    final.calc = calculator
    assert final.get_potential_energy() == pytest.approx(result["energy"], abs=1e-6)
    assert np.linalg.norm(final.get_forces(), axis=1).max() < 0.1  # the filter's fmax counts deformed atoms


def test_phonons() -> None:
    from matcalc import PhononCalc

    atoms = structures.load("MOF-74")
    calculator = PhononCalc(
        MaceMOF("mini"), supercell_matrix=np.eye(3, dtype=int).tolist(), relax_structure=False, t_max=300
    )
    result = calculator.calc(atoms)
    heat_capacity = result["thermal_properties"]["heat_capacity"]
    assert 0.0 < heat_capacity[-1] < 3 * len(atoms) * 8.314

"""Numerical health of force constants whose faults are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.data import atomic_masses
from ase.io import read, write
from springs import Springs

from phonopy_mlp.cli.main import main
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.health import LARGE_ERROR, assess_health
from phonopy_mlp.imaginary import compute_commensurate_modes

K, EDGE = 2.0, 4.0
LENGTH = EDGE / np.sqrt(2)
MASS = atomic_masses[29]
THZ = 15.633302  # of sqrt(eV/A^2/u)


class Faulty(Springs):
    """Springs with a force on all atoms, and one that pulls each atom to its place in the lattice."""

    def __init__(self, k=K, *, everywhere=0.0, to_sites=0.0):
        super().__init__(k, LENGTH, 3.2)
        self.everywhere, self.to_sites = everywhere, to_sites

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        sites = np.rint(atoms.positions / (EDGE / 2)) * EDGE / 2
        self.results["forces"] -= self.to_sites * (atoms.positions - sites)
        self.results["forces"][:, 0] += self.everywhere


def health_of(calculator, atoms=None, description=None):
    phonon = make_phonopy(bulk("Cu", a=EDGE) if atoms is None else atoms, 2 * np.eye(3, dtype=int))
    result = compute_force_constants(phonon, calculator)
    return assess_health(result, compute_commensurate_modes(phonon), description)


def doubtful(health) -> set[str]:
    return {name for name, check in health.describe().items() if not check["sound"]}


def test_sound_springs_are_sound():
    health = health_of(Faulty(), description={"dtype": "float64"})
    assert not doubtful(health)
    assert health.warnings == ()
    assert health.summary.startswith("Health: residual force ")
    assert health.summary.endswith("sound.")
    assert health.describe()["acoustic_sum_rule"]["value"] < 1e-8


def test_a_force_on_every_atom_is_residual_and_net():
    health = health_of(Faulty(everywhere=0.02))
    assert doubtful(health) == {"residual_force", "net_force"}
    # Of the supercell of 8 atoms that is evaluated at rest.
    assert health.describe()["net_force"]["value"] == pytest.approx(8 * 0.02)
    assert health.describe()["residual_force"]["value"] == pytest.approx(0.02)


@pytest.mark.parametrize("frequency", [0.9 * LARGE_ERROR, 1.1 * LARGE_ERROR])
def test_what_violates_the_sum_rule_is_judged_by_the_frequency_it_would_have(frequency):
    to_sites = MASS * (frequency / THZ) ** 2
    health = health_of(Faulty(to_sites=to_sites))
    check = health.describe()["acoustic_sum_rule"]
    assert check["value"] == pytest.approx(to_sites, rel=1e-6)
    assert check["value"] / check["limit"] == pytest.approx((frequency / LARGE_ERROR) ** 2, rel=1e-5)
    # phonopy takes an equal share of it from the force constants of each of the eight atoms.
    assert health.describe()["symmetrisation"]["value"] == pytest.approx(to_sites / 8, rel=1e-6)
    assert ("acoustic_sum_rule" in doubtful(health)) == (frequency > LARGE_ERROR)


def test_every_imaginary_mode_counts():
    health = health_of(Faulty(-K))
    assert health.describe()["imaginary_modes"]["value"] == 1
    assert doubtful(health) == {"imaginary_modes"}
    assert "21 imaginary modes" in health.warnings[0]
    assert health.summary.endswith("100 % of modes imaginary; doubtful: imaginary modes.")


def test_single_precision_is_doubtful_and_an_unknown_one_is_not():
    assert doubtful(health_of(Faulty(), description={"dtype": "float32"})) == {"precision"}
    assert health_of(Faulty()).describe()["precision"]["value"] is None


def test_forces_from_a_file_have_none_at_rest():
    phonon = make_phonopy(bulk("Cu", a=EDGE), 2 * np.eye(3, dtype=int))
    result = replace(compute_force_constants(phonon, Faulty()), residual_force=None, net_force=None)
    health = assess_health(result, compute_commensurate_modes(phonon))
    assert not doubtful(health)
    assert health.describe()["net_force"]["value"] is None
    assert "net force" not in health.summary


@pytest.mark.usefixtures("registered", "workdir")
def test_a_run_says_it_and_records_it(capfd):
    atoms = read("Cu.cif")
    atoms.rattle(0.01, seed=0)
    write("rough.cif", atoms)
    assert main(["run", "--mlp", "emt", "rough.cif", "--dim", "1", "1", "1"]) == 0
    captured = capfd.readouterr()
    assert "doubtful: residual force" in captured.out
    assert "Warning: Forces of up to" in captured.err
    step = yaml.safe_load(Path("phonopy_mlp.yaml").read_text())["phonopy_mlp"]["steps"]["force_constants"]
    assert set(step["health"]) == {
        "residual_force",
        "net_force",
        "acoustic_sum_rule",
        "symmetrisation",
        "precision",
        "imaginary_modes",
    }
    assert not step["health"]["residual_force"]["sound"]

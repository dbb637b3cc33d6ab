"""What is outside of a model's training, where it is known."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.comparators import MaceMP0bD3
from mace_mof_calc.domain.findings import available_checks, check_elements
from mace_mof_calc.domain.reference import find_reference
from mace_mof_calc.errors import UnsupportedElementError
from mace_mof_calc.models.cards import CARDS

FRAMEWORKS = [name for name in structures.names() if name in CARDS["mini"].notes]


@pytest.fixture(scope="module")
def mini():
    return MaceMOF("mini")


def kinds(findings) -> set[str]:
    return {finding["kind"] for finding in findings}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_mini_was_trained_on_is_inside(mini, name):
    atoms = structures.load(name)
    # Of copper(II) it is said that GFN1-xTB, like every MACE, knows no spin.
    expected = {"open-shell"} if "Cu" in atoms.symbols else set()
    assert kinds(mini.check_domain(atoms)) == expected
    assert kinds(mini.check_domain(atoms[np.random.default_rng(0).permutation(len(atoms))])) == expected


def test_mof_5_is_among_them(mini):
    assert "MOF-5" in FRAMEWORKS
    assert mini.domain_checks == ("element", "open-shell", "contact", "environment")


def test_a_squeezed_contact_names_its_atoms(mini):
    atoms = structures.load("MOF-5")
    hydrogen = int(np.flatnonzero(atoms.symbols == "H")[0])
    carbon = int(
        np.argmin(np.where(atoms.symbols == "C", atoms.get_distances(hydrogen, range(len(atoms)), mic=True), 9))
    )
    atoms.set_distance(carbon, hydrogen, 0.5, fix=0, mic=True)
    (contact,) = [finding for finding in mini.check_domain(atoms) if finding["kind"] == "contact"]
    assert set(contact["atoms"]) == {carbon, hydrogen}
    assert sorted(contact["symbols"]) == ["C", "H"]
    assert "0.500 A" in contact["message"]
    assert f"{min(carbon, hydrogen)}, {max(carbon, hydrogen)}" in contact["message"]


OTHER_CHEMISTRY = {
    "carbon dioxide": molecule("CO2", vacuum=6),
    "water": molecule("H2O", vacuum=6),
    "methane": molecule("CH4", vacuum=6),
    "acetic acid": molecule("CH3COOH", vacuum=6),
    "diamond": bulk("C"),
    "zincite": bulk("ZnO", "wurtzite", a=3.25, c=5.2),
}


@pytest.mark.parametrize("name", OTHER_CHEMISTRY)
def test_other_chemistry_of_the_same_elements_is_outside(mini, name):
    findings = [finding for finding in mini.check_domain(OTHER_CHEMISTRY[name]) if finding["kind"] == "environment"]
    assert {k for finding in findings for k in finding["atoms"]} == set(range(len(OTHER_CHEMISTRY[name])))


def test_a_molecule_in_a_pore_is_named_and_the_framework_is_not(mini):
    atoms = structures.load("MOF-5")
    framework = len(atoms)
    guest = molecule("CH3OH")
    grid = np.stack(np.meshgrid(*[np.arange(12) / 12] * 3), axis=-1).reshape(-1, 3) @ atoms.cell.array
    ghosts = atoms + Atoms("X" * len(grid), positions=grid)
    room = [ghosts.get_distances(framework + k, range(framework), mic=True).min() for k in range(len(grid))]
    guest.positions += grid[int(np.argmax(room))] - guest.positions.mean(axis=0)
    found = [finding for finding in mini.check_domain(atoms + guest) if finding["kind"] == "environment"]
    outside = {k for finding in found for k in finding["atoms"]}
    assert set(range(framework, framework + len(guest))) <= outside
    assert len(outside) < framework / 4


def test_elements_outside_of_the_curated_set_and_open_shells_are_told_by_the_card_alone():
    atoms = Atoms("FeCuZn", cell=[8, 8, 8], pbc=True)
    found = [(finding.kind, finding.atoms) for finding in check_elements(atoms, "mof0", CARDS["mof0"])]
    assert found == [("element", (0,)), ("open-shell", (0,)), ("open-shell", (1,))]
    (copper,) = check_elements(atoms[1:], "mof0", CARDS["mof0"])
    assert copper.message == "Cu (atom 0) has unpaired electrons as a rule, and mof0 knows no spin."
    assert list(check_elements(Atoms("CeZrTiZn"), "mof0", CARDS["mof0"])) == []


def test_without_a_reference_no_contact_is_called_sound(multihead_file, mini):
    assert available_checks(CARDS["mof0"], None) == ("element", "open-shell")
    assert MaceMOF(multihead_file).domain_checks == ("open-shell",)
    assert MaceMOF(multihead_file).check_domain(Atoms("H2", [[0, 0, 0], [0, 0, 0.4]])) == ()


def test_an_element_with_parameters_that_the_training_set_lacks(mini):
    atoms = structures.load("MOF-5")
    (element,) = check_elements(atoms, "mini", CARDS["mini"], trained={"H", "C", "O"})
    assert set(element.symbols) == {"Zn"}
    assert element.atoms == tuple(np.flatnonzero(atoms.symbols == "Zn"))
    assert list(check_elements(atoms, "mini", CARDS["mini"], trained=find_reference(mini.loaded[0]).environments)) == []
    with pytest.raises(UnsupportedElementError):
        mini.check_domain(Atoms("Au"))


def test_a_committee_asks_all_members_and_dispersion_its_model(tmp_path, mini):
    atoms = OTHER_CHEMISTRY["methane"]
    committee = MaceMOF(["mini", "mini"])
    assert len(committee.check_domain(atoms)) == 2 * len(mini.check_domain(atoms))
    assert committee.domain_checks == mini.domain_checks
    first, second = committee.make_members()
    assert first.get_potential_energy(atoms) == second.get_potential_energy(atoms) == mini.get_potential_energy(atoms)
    assert mini.make_members() == (mini,)


def test_dispersion_asks_its_model(foundation_file):
    pytest.importorskip("torch_dftd", reason="torch-dftd is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = MaceMP0bD3(foundation_file)
    assert calculator.domain_checks == ("open-shell",)
    assert calculator.check_domain(molecule("CH4", vacuum=4)) == ()

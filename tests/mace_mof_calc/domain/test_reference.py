"""References: made, written, read, and refused."""

import json

import numpy as np
import pytest
from ase.io import write
from numpy.testing import assert_allclose

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.cli import main
from mace_mof_calc.domain.descriptors import compute_descriptors
from mace_mof_calc.domain.reference import (
    find_reference,
    make_reference,
    nearest_distances,
    reference_path,
    write_reference,
)
from mace_mof_calc.errors import DomainError, UnsupportedElementError
from mace_mof_calc.models.loading import load


@pytest.fixture
def frames(crystal):
    found = []
    for seed in range(40):
        atoms = crystal.copy()
        atoms.rattle(0.02, seed=seed)
        found.append(atoms)
    return found


@pytest.fixture
def tiny(tiny_packed, tmp_path):
    """The tiny model in a folder of its own."""
    for path in (tiny_packed, tiny_packed.with_suffix(".safetensors")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return load(tmp_path / tiny_packed.name)


@pytest.mark.parametrize("model", ["mini", "multihead", "foundation"])
def test_descriptors_are_maces_own(model, crystal, multihead_file, foundation_file):
    file = {"mini": "mini", "multihead": multihead_file, "foundation": foundation_file}[model]
    calculator = MaceMOF(file)
    found = compute_descriptors(calculator.loaded[0], crystal)
    assert_allclose(found, calculator.get_descriptors(crystal), atol=1e-10)


def test_descriptors_do_not_turn_with_the_crystal(crystal):
    model = load("mini")
    turned = crystal.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    assert_allclose(compute_descriptors(model, turned), compute_descriptors(model, crystal), atol=1e-10)


def test_written_and_read_it_is_the_same(tiny, frames):
    reference = make_reference(tiny, frames)
    write_reference(reference, reference_path(tiny))
    read = find_reference(tiny)
    assert read.limits == reference.limits
    assert read.contacts == reference.contacts
    assert read.frames == len(frames)
    for symbol in ("H", "C", "O", "Zn"):
        assert_allclose(read.environments[symbol], reference.environments[symbol])


def test_contacts_are_the_shortest_of_all_frames(tiny, frames):
    reference = make_reference(tiny, frames, every=2)
    shortest = min(atoms.get_distance(0, 1, mic=True) for atoms in frames)
    assert reference.contacts["C", "H"] == pytest.approx(shortest)
    assert reference.contacts["O", "O"] == pytest.approx(min(tiny.r_max, *(_between_images(a, 2) for a in frames)))


def _between_images(atoms, k):
    return min(np.linalg.norm(np.array(n) @ atoms.cell.array) for n in np.ndindex(2, 2, 2) if any(n))


def test_limits_hold_for_held_out_frames_and_not_for_another_crystal(tiny, frames, crystal):
    reference = make_reference(tiny, frames)
    new, squeezed = crystal.copy(), crystal.copy()
    new.rattle(0.01, seed=77)
    squeezed.set_cell(0.9 * crystal.cell.array, scale_atoms=True)
    for symbol, limit in reference.limits.items():
        for atoms, inside in ((new, True), (squeezed, False)):
            own = compute_descriptors(tiny, atoms)[atoms.symbols == symbol]
            assert (nearest_distances(own, reference.environments[symbol]).max() < limit) == inside


def test_bad_training_sets(tiny, frames, crystal):
    with pytest.raises(DomainError, match="training set of 4 structures"):
        make_reference(tiny, frames, every=10)
    with pytest.raises(DomainError, match="Every 0th"):
        make_reference(tiny, frames, every=0)
    zirconium = crystal.copy()
    zirconium.symbols[0] = "Zr"
    with pytest.raises(DomainError, match="Zr is in too few"):
        make_reference(tiny, [zirconium, *frames])
    zirconium.symbols[0] = "Au"
    with pytest.raises(UnsupportedElementError, match="Au"):
        make_reference(tiny, [zirconium, *frames])


def test_files_of_other_models_and_damaged_ones_are_refused(tiny, frames):
    path = reference_path(tiny)
    write_reference(make_reference(tiny, frames), path)
    document = json.loads(tiny.path.read_text())
    document["card"]["notes"] = "changed"
    tiny.path.write_text(json.dumps(document))
    with pytest.raises(DomainError, match="belongs to another model"):
        find_reference(load(tiny.path))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DomainError, match="cannot be read"):
        find_reference(tiny)
    path.write_bytes(tiny.path.with_suffix(".safetensors").read_bytes())
    with pytest.raises(DomainError, match="not what this version calls a domain"):
        find_reference(tiny)


def test_the_command_makes_one_beside_the_model_or_elsewhere(tiny, frames, tmp_path, capsys):
    write(tmp_path / "training.xyz", frames)
    line = ["domain", str(tmp_path / "training.xyz"), "--model", str(tiny.path)]
    assert main(line) == 0
    assert "C, H, O, Zn in 40 structures" in capsys.readouterr().out
    calculator = MaceMOF(tiny.path)
    assert "environment" in calculator.domain_checks
    assert calculator.check_domain(frames[0]) == ()
    assert main([*line, "--every", "2", "-o", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other").stat().st_size > 0
    assert main([*line, "--every", "20"]) == 2
    assert "training set of 2 structures" in capsys.readouterr().err


def test_the_shipped_one_belongs_to_the_shipped_model():
    reference = find_reference(load("mini"))
    assert reference is not None
    assert set(reference.environments) >= set(structures.load("MOF-5").symbols)

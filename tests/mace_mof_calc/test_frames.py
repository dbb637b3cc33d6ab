"""Files of frames: labels survive, and what is no frame is refused."""

import numpy as np
import pytest
from ase.build import bulk
from numpy.testing import assert_allclose

from mace_mof_calc.errors import FramesError
from mace_mof_calc.frames import Labels, attach_labels, get_labels, read_frames, write_frames


@pytest.fixture
def labelled():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.info |= {"name": "salt 1", "source": "salt", "kind": "md"}
    forces = np.array([[0.125, -0.25, 1e-7], [-0.125, 0.25, -1e-7]])
    return attach_labels(atoms, Labels(-1.23456789012345, forces, np.arange(6) * 1e-7))


def test_labels_survive_a_file(labelled, tmp_path):
    write_frames(tmp_path / "frames.extxyz", [labelled, labelled])
    first, second = read_frames(tmp_path / "frames.extxyz")
    assert first == second
    assert {key: first.info[key] for key in ("name", "source", "kind")} == {
        "name": "salt 1",
        "source": "salt",
        "kind": "md",
    }
    found, given = get_labels(first), get_labels(labelled)
    assert found.energy == given.energy
    assert_allclose(found.forces, given.forces, atol=1e-8)
    assert_allclose(found.stress, given.stress, rtol=1e-12)


@pytest.mark.parametrize("name", ["4000123", "1 2 3", "qmof-1"])
def test_names_are_words(labelled, tmp_path, name):
    labelled.info["name"] = name
    write_frames(tmp_path / "frames.extxyz", [labelled])
    (read,) = read_frames(tmp_path / "frames.extxyz")
    assert read.info["name"] == name


def test_labels_are_those_that_mace_trains_on(labelled, tmp_path):
    from mace_mof_calc.backend import import_mace

    import_mace()
    from mace.data import KeySpecification
    from mace.data.utils import load_from_xyz

    write_frames(tmp_path / "frames.extxyz", [labelled])
    keys = KeySpecification.from_defaults()
    _, (config,) = load_from_xyz(str(tmp_path / "frames.extxyz"), keys, "Default")
    assert config.properties["energy"] == labelled.info["REF_energy"]
    assert_allclose(config.properties["forces"], labelled.arrays["REF_forces"], atol=1e-8)
    assert_allclose(config.properties["stress"], labelled.info["REF_stress"])


def test_labels_without_stress(labelled):
    molecule = bulk("Cu")
    found = get_labels(attach_labels(molecule, Labels(1.0, np.zeros((1, 3)), None)))
    assert found.stress is None
    assert "REF_energy" not in molecule.info


def test_missing_and_broken_labels_are_told(labelled):
    bare = labelled.copy()
    del bare.info["REF_energy"], bare.arrays["REF_forces"]
    with pytest.raises(FramesError, match=r"salt 1 has no REF_energy and no REF_forces.*mace-mof label"):
        get_labels(bare)
    labelled.arrays["REF_forces"][0, 0] = np.nan
    with pytest.raises(FramesError, match="not finite"):
        get_labels(labelled)


@pytest.mark.parametrize(
    "name", ["no.xyz", "absent.extxyz", "empty.extxyz", "broken.cif", "broken.vasp", "nothing.extxyz"]
)
def test_what_is_no_file_of_frames_is_refused(tmp_path, name):
    (tmp_path / "no.xyz").write_text("not a structure\n")
    (tmp_path / "empty.extxyz").write_text("")
    (tmp_path / "broken.cif").write_text("loop_ data_ nonsense")
    (tmp_path / "broken.vasp").write_text("\n")
    (tmp_path / "nothing.extxyz").write_text("0\nProperties=species:S:1:pos:R:3\n")
    with pytest.raises(FramesError, match=name):
        read_frames(tmp_path / name)


def test_a_stress_of_nine_components_is_read_as_six(tmp_path):
    atoms = attach_labels(bulk("Cu"), Labels(-1.0, np.zeros((1, 3)), None))
    atoms.info["REF_stress"] = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    write_frames(tmp_path / "a.extxyz", [atoms])
    (found,) = read_frames(tmp_path / "a.extxyz")
    assert get_labels(found).stress.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

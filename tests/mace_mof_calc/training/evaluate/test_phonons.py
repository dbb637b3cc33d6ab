"""Phonons of two calculators whose frequencies have a known ratio, by the other program."""

import os

import pytest
import yaml
from ase.build import bulk
from ase.io import write

from mace_mof_calc.errors import MissingExtraError, TrainingError
from mace_mof_calc.training.evaluate import phonons
from mace_mof_calc.training.evaluate.phonons import compare_phonons

CALCULATORS = """
from ase.calculators.emt import EMT


class Scaled(EMT):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        for name in ("energy", "free_energy", "energies", "forces", "stress"):
            self.results[name] = 1.21 * self.results[name]


def soft(*, device, dtype):
    return EMT()


def stiff(*, device, dtype):
    return Scaled()
"""


@pytest.fixture
def metals(tmp_path, monkeypatch):
    """Make calculators known to other processes: ``stiff`` has 1.1 times the frequencies of ``soft``."""
    (tmp_path / "stiff_and_soft.py").write_text(CALCULATORS)
    info = tmp_path / "stiff_and_soft-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stiff-and-soft\nVersion: 1.0\n")
    names = "".join(f"{name} = stiff_and_soft:{name}\n" for name in ("soft", "stiff"))
    (info / "entry_points.txt").write_text(f"[phonopy_mlp.calculators]\n{names}")
    monkeypatch.syspath_prepend(tmp_path)
    known = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *([known] if known else [])]))
    write(tmp_path / "copper.cif", bulk("Cu"))
    (tmp_path / "out").mkdir()
    return tmp_path


def test_a_stiffer_model(metals):
    pytest.importorskip("phonopy_mlp")
    path = compare_phonons(metals / "copper.cif", metals / "out", "stiff", "soft", dim=(2, 2, 2), mesh=(4, 4, 4))
    found = yaml.safe_load(path.read_text())
    assert (found["a"], found["b"]) == ("reference", "model")
    assert (path.parent / "phonons.png").is_file()
    frequencies = found["frequencies"]
    for soft, stiff in (frequencies["lowest"], frequencies["highest"]):
        assert stiff == pytest.approx(1.1 * soft, rel=1e-3)
    deviations = frequencies["by_overlap"]["full_range"]
    assert deviations["largest"] == pytest.approx(0.1 * frequencies["highest"][0], rel=1e-3)


def test_what_is_done_is_left_alone(metals, monkeypatch):
    crystal, here, small = metals / "copper.cif", metals / "out", {"dim": (2, 1, 1), "mesh": (2, 2, 2)}
    asked = []
    monkeypatch.setattr(phonons, "_run", lambda words, folder: asked.append((folder.name, *words[:2])))
    compare_phonons(crystal, here, "stiff", "soft", **small)
    first = [("model", "run", "--mlp=stiff"), ("reference", "run", "--mlp=soft"), ("out", "compare", "reference")]
    assert asked == first
    compare_phonons(crystal, here, "stiff", "soft", **small)
    assert asked == [*first, first[2]]
    with pytest.raises(TrainingError, match="model has other phonons in it"):
        compare_phonons(crystal, here, "stiff", "soft", **small, fmax=1e-3)
    with pytest.raises(TrainingError, match="model has other phonons in it"):
        compare_phonons(crystal, here, "soft", "stiff", **small)


def test_the_reference_of_another_evaluation(metals, monkeypatch):
    asked = []
    monkeypatch.setattr(phonons, "_run", lambda words, folder: asked.append(words))
    (metals / "first" / "reference").mkdir(parents=True)
    (metals / "first" / "reference" / "phonopy_mlp.yaml").touch()
    compare_phonons(metals / "copper.cif", metals / "out", "stiff", str(metals / "first/reference"), fmax=1e-3)
    run, compare = asked
    assert run[-2:] == ["--relax-fmax", "0.001"]
    assert compare[:3] == ["compare", "../first/reference", "model"]


def test_a_folder_with_the_name_of_a_calculator_is_no_reference(metals, monkeypatch):
    asked = []
    monkeypatch.setattr(phonons, "_run", lambda words, folder: asked.append(words))
    monkeypatch.chdir(metals)
    (metals / "soft").mkdir()
    compare_phonons(metals / "copper.cif", metals / "out", "stiff", "soft")
    assert [words[1] for words in asked] == ["--mlp=stiff", "--mlp=soft", "reference"]


def test_a_run_that_fails_says_why(metals, monkeypatch):
    monkeypatch.setattr(phonons, "_PROGRAM", "import sys; sys.exit('phonopy-mlp: error: no such calculator')")
    with pytest.raises(TrainingError, match=r"run --mlp=stiff .*failed in .*model\. .*error: no such calculator"):
        compare_phonons(metals / "copper.cif", metals / "out", "stiff", "soft")


def test_without_the_other_package(metals, monkeypatch):
    monkeypatch.setattr(phonons, "_OWN_PACKAGE", "phonopy_mlp_that_is_absent")
    with pytest.raises(MissingExtraError, match="phonopy-mlp is not installed"):
        compare_phonons(metals / "copper.cif", metals / "out", "stiff", "soft")
    assert not list((metals / "out").iterdir())

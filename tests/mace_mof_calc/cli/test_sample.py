"""The command ``mace-mof sample``."""

from dataclasses import fields

import pytest
from ase.build import bulk

from mace_mof_calc.cli import main
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.models.loading import load as load_model
from mace_mof_calc.models.own import MODELS_VARIABLE, register
from mace_mof_calc.structures import load
from mace_mof_calc.training.job import Part
from mace_mof_calc.training.manifest import read_manifest
from mace_mof_calc.training.sample.settings import Limits, Settings


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Name of a registered calculator: ASE's EMT."""
    info = tmp_path / "toy_calculators-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-calculators\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[phonopy_mlp.calculators]\ntoy = toys:emt\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "toy"


@pytest.fixture
def crystals(tmp_path):
    path = tmp_path / "crystals.extxyz"
    write_frames(path, [bulk("Cu", a=3.65, cubic=True), bulk("Au") * (2, 1, 1)])
    return path


def sample(crystals, *options):
    return main(["sample", str(crystals), "-o", str(crystals.parent / "out.extxyz"), *options])


def test_frames_are_written_once(crystals, toy, capsys):
    options = ("--calculator", toy, "--kind", "strain,rattle", "--rattle-frames", "3", "--contact", "0.93")
    assert sample(crystals, *options) == 0
    shown = capsys.readouterr()
    output = crystals.parent / "out.extxyz"
    frames = read_frames(output)
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == f"{output}: {len(frames)} frames of 2 crystals"
    dropped = read_manifest(output).dropped
    assert f"  {len(dropped):5d}  contact" in lines
    before = output.read_bytes()
    assert sample(crystals, *options) == 0
    assert capsys.readouterr().out.splitlines() == [f"{output} is finished", *lines]
    assert sample(crystals, *options, "--seed", "2") == 2
    assert "seed was 1 and is 2" in capsys.readouterr().err
    assert output.read_bytes() == before


OPTIONS = {
    "kinds": ("--kind", "md,soft", ("md", "soft")),
    "seed": ("--seed", "7", 7),
    "as_given": ("--as-given", None, True),
    "temperatures": ("--temperature", "100,250.5", (100.0, 250.5)),
    "pressure": ("--pressure", "-0.1", -0.1),
    "timestep": ("--timestep", "1", 1.0),
    "steps": ("--steps", "300", 300),
    "every": ("--every", "30", 30),
    "md_frames": ("--md-frames", "4", 4),
    "strains": ("--strain", "-0.05 0.02", (-0.05, 0.02)),
    "strain_frames": ("--strain-frames", "3", 3),
    "relax_strained": ("--relax-strained", None, True),
    "fmax": ("--fmax", "0.1", 0.1),
    "relax_steps": ("--relax-steps", "50", 50),
    "relax_frames": ("--relax-frames", "5", 5),
    "rattle_frames": ("--rattle-frames", "2", 2),
    "rattle_sigma": ("--rattle-sigma", "0.01", 0.01),
    "rattle_strain": ("--rattle-strain", "0", 0.0),
    "phonon_frames": ("--phonon-frames", "8", 8),
    "quantum": ("--quantum", None, True),
    "min_frequency": ("--min-frequency", "1.5", 1.5),
    "soft_modes": ("--soft-modes", "9", 9),
    "equal_frames": ("--equal-frames", "4", 4),
    "mixed_frames": ("--mixed-frames", "6", 6),
    "mixed_limit": ("--mixed-limit", "5", 5.0),
    "sizes": ("--rms", "0.01,0.02", (0.01, 0.02)),
    "limits": ("--contact 0.5 --max-stretch 2 --max-force", "10", Limits(0.5, 2.0, 10.0)),
}


def test_numbers_that_are_none_are_refused(crystals, toy, capsys):
    with pytest.raises(SystemExit):
        sample(crystals, "--calculator", toy, "--temperature", "300,x")
    assert "'300,x' must be numbers with commas between them" in capsys.readouterr().err


@pytest.fixture
def taken(monkeypatch):
    """What the library was asked for, which then does nothing but hand the crystals on."""
    asked = []

    def sample_crystals(crystals, calculator, settings, job, **options):
        asked.append((settings, calculator, options["model"]))
        return job.finish([Part(crystals)])

    monkeypatch.setattr("mace_mof_calc.training.sample.run.sample_crystals", sample_crystals)
    monkeypatch.setattr("mace_mof_calc.cli.sample._print_summary", lambda *_: None)
    return asked


def test_every_setting_is_an_option(crystals, toy, taken):
    words = " ".join(f"{option} {value or ''}" for option, value, _ in OPTIONS.values()).split()
    assert sample(crystals, "--calculator", toy, *words) == 0
    assert taken[0][0] == Settings(**{name: expected for name, (_, _, expected) in OPTIONS.items()})
    assert set(OPTIONS) == {field.name for field in fields(Settings)}
    (crystals.parent / "out.extxyz").unlink()
    assert sample(crystals, "--calculator", toy) == 0
    assert taken[1][0] == Settings()


def test_calculators_and_descriptor_models(crystals, toy, taken, tiny_packed):
    output = crystals.parent / "out.extxyz"
    manifests = []
    for words in (
        f"--calculator {toy}",
        f"--calculator {tiny_packed} --device cpu --dtype float32",
        f"--calculator {toy} --descriptor-model {tiny_packed}",
    ):
        assert sample(crystals, *words.split()) == 0
        manifests.append(read_manifest(output))
        output.unlink()
    assert [model and model.name for _, _, model in taken] == [None, "tiny", "tiny"]
    described = taken[1][1].describe()
    assert (described["name"], described["device"], described["dtype"]) == ("tiny", "cpu", "float32")
    assert manifests[1].settings["calculator"] == str(tiny_packed)
    digest = load_model(tiny_packed).digest
    assert [manifest.settings["digest"] for manifest in manifests] == [None, digest, None]
    # A calculator with a model of its own chooses frames by that.
    assert [manifest.settings["descriptor_digest"] for manifest in manifests] == [None, digest, digest]
    assert [manifest.settings["dtype"] for manifest in manifests] == ["float64", "float32", "float64"]


@pytest.mark.parametrize("role", ["--calculator", "--descriptor-model"])
def test_models_are_known_by_what_they_hold(crystals, toy, taken, tiny_packed, tmp_path, monkeypatch, capsys, role):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    register(tiny_packed, "own")
    words = ["--calculator", "own"] if role == "--calculator" else ["--calculator", toy, role, "own"]
    assert sample(crystals, *words) == 0
    assert sample(crystals, *words) == 0
    assert "is finished" in capsys.readouterr().out
    own = tmp_path / "models" / "own.json"
    own.write_text(own.read_text().replace("For tests.", "Another one."))
    assert sample(crystals, *words) == 2
    assert "digest was 'sha256:" in capsys.readouterr().err


def test_what_cannot_be_done_is_said(crystals, toy, capsys):
    for options, message in (
        (("--calculator", "toi"), "toy"),
        (("--calculator", toy, "--kind", "md,mc"), "no kind 'mc'"),
        (("--calculator", toy, "--descriptor-model", "mini"), "mini does not know Au of Au2-1"),
        (("--calculator", toy, "--every", "0"), "every is 0"),
    ):
        assert sample(crystals, *options) == 2
        assert message in capsys.readouterr().err
    assert [path.name for path in crystals.parent.iterdir() if path.name.startswith("out")] == []


def test_a_framework_and_mini(tmp_path):
    crystals = tmp_path / "MOF-5.extxyz"
    mof = load("MOF-5")
    mof.info["name"] = "MOF-5"
    write_frames(crystals, [mof])
    words = "--calculator mini --device cpu --as-given --kind md --steps 6 --every 2 --md-frames 2"
    assert sample(crystals, *words.split()) == 0
    frames = read_frames(tmp_path / "out.extxyz")
    assert [frame.info["source"] for frame in frames] == ["MOF-5"] * 2
    assert len(frames[0]) == 106

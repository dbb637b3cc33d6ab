"""All kinds of frames of several crystals, whatever happens on the way."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from mace_mof_calc import MaceMOF
from mace_mof_calc.errors import TrainingError
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.models.loading import load
from mace_mof_calc.training.hessians import attach_hessian, compute_rows
from mace_mof_calc.training.job import Job
from mace_mof_calc.training.sample.run import sample_crystals
from mace_mof_calc.training.sample.settings import KINDS, Limits, Settings

ALL = Settings(
    kinds=KINDS,
    temperatures=(200.0, 300.0),
    timestep=2.0,
    steps=40,
    every=5,
    md_frames=3,
    relax_frames=3,
    rattle_frames=2,
    phonon_frames=2,
    soft_modes=1,
    equal_frames=2,
    mixed_frames=3,
)
COUNTS = {"relax": 3, "strain": 6, "md": 6, "rattle": 2, "phonons": 4, "soft": 4, "equal": 2, "mixed": 3}


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Return a function that samples into a file, with segments of 10 steps, and returns frames and manifest."""
    monkeypatch.setattr("mace_mof_calc.training.sample.run.SEGMENT", 10)

    def run(crystals, settings=ALL, *, calculator=None, name="out", **options):
        source, output = tmp_path / f"{name}-in.extxyz", tmp_path / f"{name}.extxyz"
        write_frames(source, crystals)
        job = Job(output, "sample", [source], {"seed": settings.seed})
        manifest = sample_crystals(crystals, calculator or EMT(), settings, job, **options)
        return read_frames(output), manifest

    return run


def positions(frames):
    return {frame.info["name"]: frame.positions.tolist() for frame in frames}


def test_all_kinds_of_a_crystal(copper, sample):
    shown = []

    def track(sequence, title):
        shown.append((title, len(sequence)))
        return iter(sequence)

    frames, manifest = sample([copper], track=track)
    kinds = [frame.info["kind"] for frame in frames]
    assert {kind: kinds.count(kind) for kind in kinds} == COUNTS
    assert kinds == sorted(kinds, key=KINDS.index)
    assert manifest.dropped == ()
    assert len({frame.info["name"] for frame in frames}) == len(frames)
    for frame in frames:
        assert frame.info["source"] == "Cu"
        assert frame.pbc.all()
        assert set(frame.arrays) == {"numbers", "positions"}
        assert set(frame.info) == {"source", "kind", "name"}
    assert shown[0] == ("Crystals", 1)
    assert ("Cu at 200 K", 4) in shown
    assert ("Cu, Hessian", 4) in shown
    # The first frame of the relaxation is the crystal, the last is where all others start.
    first, last = frames[0], frames[2]
    np.testing.assert_allclose(first.positions, copper.positions, atol=1e-7)
    relaxed = last.copy()
    relaxed.calc = EMT()
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() < 0.02
    np.testing.assert_allclose(frames[3].cell.array, 0.9 * last.cell.array, atol=1e-6)
    soft = [frame.positions for frame in frames if frame.info["name"].startswith("Cu-soft-300K")]
    np.testing.assert_allclose(np.mean(soft, axis=0), last.positions, atol=1e-7)
    steps = [int(frame.info["name"].rpartition("-")[2]) for frame in frames if frame.info["kind"] == "md"]
    assert set(steps) <= set(range(5, 45, 5))


def test_each_crystal_has_random_numbers_of_its_own(copper, gold, sample):
    alone, _ = sample([copper], name="alone")
    both, _ = sample([gold, copper], name="both")
    assert positions([frame for frame in both if frame.info["source"] == "Cu"]) == positions(alone)
    subset, _ = sample([copper], Settings(kinds=("rattle",), rattle_frames=2), name="subset")
    assert positions(subset) == {k: v for k, v in positions(alone).items() if "rattle" in k}
    reseeded, _ = sample([copper], Settings(kinds=("rattle",), rattle_frames=2, seed=2), name="reseeded")
    assert positions(reseeded) != positions(subset)


def test_killed_again_and_again_it_comes_to_the_same(copper, gold, sample, unreliable):
    patient = unreliable()
    whole, manifest = sample([copper, gold], calculator=patient, name="whole")
    evaluations, kills = 0, 0
    while True:
        mortal = unreliable(40, KeyboardInterrupt)
        try:
            resumed, again = sample([copper, gold], calculator=mortal, name="killed")
        except KeyboardInterrupt:
            evaluations, kills = evaluations + 40, kills + 1
        else:
            break
    evaluations += mortal.calls
    assert positions(resumed) == positions(whole)
    assert again.output == manifest.output
    assert kills > 3
    # A piece is a relaxation or ten steps here; each kill loses no more than one.
    assert patient.calls <= evaluations <= patient.calls + 15 * kills


def test_crystals_can_be_taken_as_given(copper, sample):
    settings = Settings(kinds=("strain",), as_given=True, strains=(0.0, 0.05), strain_frames=2)
    frames, _ = sample([copper], settings)
    np.testing.assert_allclose(frames[0].positions, copper.positions, atol=1e-7)
    assert len(frames) == 2
    both, _ = sample([copper], Settings(kinds=("relax", "strain"), as_given=True, strain_frames=1), name="both")
    np.testing.assert_allclose(both[-1].cell.array, 0.9 * copper.cell.array, atol=1e-6)


def test_strained_cells_can_be_relaxed(copper, sample):
    settings = Settings(kinds=("strain",), as_given=True, strains=(-0.02, 0.02), strain_frames=2, relax_strained=True)
    frames, manifest = sample([copper], settings)
    for frame, factor in zip(frames, (0.98, 1.02), strict=True):
        np.testing.assert_allclose(frame.cell.array, factor * copper.cell.array, atol=1e-6)
        frame.calc = EMT()
        assert np.linalg.norm(frame.get_forces(), axis=1).max() < 0.02
    assert manifest.dropped == ()


def test_failures_are_counted_and_the_rest_goes_on(copper, gold, sample, unreliable):
    settings = Settings(kinds=("relax", "rattle"), rattle_frames=2)
    frames, manifest = sample([copper, gold], settings, calculator=unreliable(2))
    assert [frame.info["name"] for frame in frames] == ["Cu-relax-0", "Cu-relax-1"]
    failure = "no minimum: calculation failed: CalculationFailed: no convergence"
    assert [(each.name, each.reason) for each in manifest.dropped] == [("Cu-minimum", failure), ("Au-minimum", failure)]
    frames, manifest = sample([copper], Settings(kinds=("rattle",), relax_steps=1, rattle_frames=2), name="short")
    assert len(frames) == 2
    (note,) = manifest.dropped
    assert note.name == "Cu-minimum"
    assert note.reason.startswith("not relaxed: 0.")
    # Strains of a few atoms, then their Hessian.
    settings = Settings(kinds=("strain", "phonons", "soft"), as_given=True, strain_frames=2)
    frames, manifest = sample([copper], settings, calculator=unreliable(5), name="hessian")
    assert [frame.info["kind"] for frame in frames] == ["strain"] * 2
    assert [each.name for each in manifest.dropped] == ["Cu-phonons", "Cu-soft"]


def test_unphysical_frames_are_dropped_and_counted(copper, sample):
    settings = Settings(kinds=("relax", "strain", "md"), limits=Limits(force=0.4), timestep=2.0, steps=400, every=5)
    frames, manifest = sample([copper], settings)
    names = [each.name for each in manifest.dropped]
    assert "Cu-md-300K-ended" in names
    assert all(each.reason.startswith("force: ") for each in manifest.dropped)
    assert len(frames) + len([name for name in names if "strain" in name]) > 6
    for frame in frames:
        frame.calc = EMT()
        assert np.linalg.norm(frame.get_forces(), axis=1).max() < 0.4 + 1e-6


def test_strains_that_fail_to_relax(copper, sample):
    settings = Settings(
        kinds=("strain",),
        as_given=True,
        strains=(-0.05, 0.0),
        strain_frames=2,
        relax_strained=True,
        limits=Limits(contact=0.95),  # of 2.64 A: below the distances in the cell as given, above those in the other
    )
    frames, manifest = sample([copper], settings)
    assert [frame.info["name"] for frame in frames] == ["Cu-strain-1"]
    assert [(each.name, each.reason[:9]) for each in manifest.dropped] == [("Cu-strain-0", "contact: ")]


def test_a_model_chooses(crystal, copper, sample, tiny_packed, monkeypatch):
    model, seen = load(tiny_packed), []
    calculator = MaceMOF(tiny_packed, device="cpu")
    for options in ({"model": model}, {"calculator": calculator}):
        with pytest.raises(TrainingError, match="tiny does not know Cu of Cu"):
            sample([copper], **options)

    def choose(frames, count, model, ends=()):
        seen.append((len(frames), count, model, ends))
        return list(frames)[:count]

    monkeypatch.setattr("mace_mof_calc.training.sample.run.choose_frames", choose)
    crystal.info["source"] = "X"
    settings = Settings(
        as_given=True,
        kinds=("relax", "md"),
        fmax=1e-6,
        relax_steps=3,
        steps=6,
        every=2,
        md_frames=2,
        limits=Limits(contact=0.1, force=1e6),
    )
    frames, _ = sample([crystal], settings, calculator=calculator, model=model, name="model")
    assert seen == [(4, 10, model, (0, 3)), (3, 2, model, ())]
    assert [frame.info["name"] for frame in frames[-2:]] == ["X-md-300K-2", "X-md-300K-4"]


def test_calculators_without_stress(copper, sample):
    class Stressless(LennardJones):
        implemented_properties = ("energy", "forces")

    with pytest.raises(TrainingError, match="Stressless has no stress"):
        sample([copper], calculator=Stressless())
    frames, _ = sample(
        [copper], Settings(kinds=("rattle",), as_given=True, limits=Limits(force=1e9)), calculator=Stressless()
    )
    assert len(frames) == 10


def test_sizes_take_the_place_of_the_temperature(copper, sample):
    settings = Settings(kinds=("phonons", "equal"), as_given=True, phonon_frames=2, equal_frames=1, sizes=(0.03,))
    frames, _ = sample([copper], settings)
    assert [frame.info["name"] for frame in frames] == ["Cu-phonons-0", "Cu-phonons-1", "Cu-equal-0"]
    for frame in frames:
        assert np.sqrt(np.mean((frame.positions - copper.positions) ** 2)) == pytest.approx(0.03, rel=1e-5)


def test_a_hessian_that_is_given_is_taken(copper, sample):
    rows = np.array([compute_rows(copper, index, EMT()) for index in range(4)]).reshape(12, 12)
    settings = Settings(kinds=("equal",), as_given=True, equal_frames=2)
    computed, _ = sample([copper], settings, name="computed")
    given, _ = sample([attach_hessian(copper, rows)], settings, name="given")
    softer, _ = sample([attach_hessian(copper, np.diag(np.arange(1.0, 13.0)))], settings, name="softer")
    np.testing.assert_allclose([each.positions for each in given], [each.positions for each in computed], atol=1e-6)
    assert np.abs(softer[0].positions - given[0].positions).max() > 0.01
    assert all(set(each.arrays) == {"numbers", "positions"} for each in given)
    # It is that of the crystal as it is, not of where it relaxes to.
    relaxed = Settings(kinds=("equal",), equal_frames=2)
    one, _ = sample([attach_hessian(copper, np.diag(np.arange(1.0, 13.0)))], relaxed, name="one")
    other, _ = sample([copper], relaxed, name="other")
    np.testing.assert_allclose(one[0].positions, other[0].positions, atol=1e-6)

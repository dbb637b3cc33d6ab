"""The loop: broken off or not, the same comes out; it ends when nothing improves."""

import copy
import dataclasses

import pytest
import torch
from metals import make_metals

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.finetune.curves import format_table, plot_curves
from mace_mof_calc.training.finetune.graphs import default_dtype, make_graphs
from mace_mof_calc.training.finetune.loop import BEST, CHECKPOINT, EnergiesWarning, train
from mace_mof_calc.training.finetune.model import describe_module, make_trainable
from mace_mof_calc.training.finetune.recipe import Recipe

from ...conftest import TINY, make_module

SMALL = dataclasses.replace(TINY, r_max=3.2, max_ell=1, hidden_irreps="4x0e", atomic_numbers=(29, 79))
GENTLE = {"learning_rate": 3e-3, "averaging": 0.9}


@pytest.fixture(scope="module")
def start():
    return describe_module(make_module(SMALL))


@pytest.fixture(scope="module")
def graphs(start):
    frames = make_metals("CuAu", 12, seed=1)
    for atoms in frames:
        atoms.info["REF_energy"] -= 3.0  # about what the energies of the model count from
    with default_dtype("float64"):
        return make_graphs(frames, "Default", start.hyperparameters)


def run(start, graphs, folder, epochs, patience=50, settings=GENTLE, **options):
    folder.mkdir(exist_ok=True)
    recipe = Recipe(**settings, batch=4).describe(tuning=True)
    module = make_trainable(start, "float64", "cpu")
    valid = {"Default": graphs[9:]}
    own = {"question": "metals", "epochs": epochs, "patience": patience}
    return train(module, graphs[:9], valid, recipe, folder, **own | options)


def without_times(trained):
    return [dataclasses.replace(each, seconds=0.0) for each in trained.history]


@pytest.fixture(scope="module")
def whole(start, graphs, tmp_path_factory):
    return run(start, graphs, tmp_path_factory.mktemp("whole"), epochs=5)


def test_errors_decrease(whole):
    first, last = whole.history[0], whole.history[-1]
    assert (whole.epochs, whole.best, whole.stopped_early) == (5, 5, False)
    assert [each.epoch for each in whole.history] == [0, 1, 2, 3, 4, 5]
    assert last.loss < first.loss
    assert last.forces_rmse < first.forces_rmse
    assert first.learning_rate is None
    assert last.learning_rate == 3e-3


def kill_after(epochs):
    def track(sequence, title):
        yield from sequence[:epochs]
        raise KeyboardInterrupt

    return track


def test_a_broken_training_goes_on_to_the_same_end(whole, start, graphs, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(start, graphs, tmp_path, epochs=5, track=kill_after(2))
    assert run(start, graphs, tmp_path, epochs=3).epochs == 3
    again = run(start, graphs, tmp_path, epochs=5)
    assert without_times(again) == without_times(whole)
    assert again.state.keys() == whole.state.keys()
    assert all(torch.equal(again.state[name], tensor) for name, tensor in whole.state.items())


def test_a_finished_training_does_nothing(whole, start, graphs, tmp_path):
    run(start, graphs, tmp_path, epochs=2)
    before = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    assert run(start, graphs, tmp_path, epochs=2).history == run(start, graphs, tmp_path, epochs=2).history
    assert (tmp_path / CHECKPOINT).stat().st_mtime_ns == before


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(start, graphs, tmp_path, monkeypatch):
    run(start, graphs, tmp_path, epochs=1)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def fail(content, buffer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(KeyboardInterrupt):
            run(start, graphs, tmp_path, epochs=2)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert run(start, graphs, tmp_path, epochs=2).epochs == 2


def test_it_ends_when_nothing_improves_and_keeps_the_best(whole, start, graphs, tmp_path):
    trained_well = dataclasses.replace(start, state=whole.state)
    steep = {"learning_rate": 100.0, "averaging": 0.5}
    found = run(trained_well, graphs, tmp_path, epochs=50, patience=3, settings=steep)
    assert (found.epochs, found.best, found.stopped_early) == (3, 0, True)
    assert all(torch.equal(found.state[name], tensor) for name, tensor in whole.state.items())
    # More patience goes on.
    assert run(trained_well, graphs, tmp_path, epochs=50, patience=5, settings=steep).epochs == 5


def test_a_checkpoint_of_another_training_is_refused(start, graphs, tmp_path):
    run(start, graphs, tmp_path, epochs=1)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match=r"another training.*Remove the folder"):
        run(start, graphs, tmp_path, epochs=2, question="others")
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_the_last_head_decides(whole, start, graphs, tmp_path):
    # The replay head is validated as well, in this order.
    module = make_trainable(start, "float64", "cpu")
    settings = Recipe(**GENTLE, batch=4).describe(tuning=True)
    valid = {"pt_head": graphs[:2], "Default": graphs[9:]}
    found = train(module, graphs[:9], valid, settings, tmp_path, question="heads", epochs=1, patience=9)
    assert [each.head for each in found.history] == ["pt_head", "Default"] * 2
    assert found.history[3].loss == whole.history[1].loss


def test_a_loss_that_explodes_is_an_error_that_keeps_the_checkpoint(start, graphs, tmp_path):
    with pytest.raises(TrainingError, match=r"not finite in epoch 1\..*--lr"):
        run(start, graphs, tmp_path, epochs=3, settings={"learning_rate": 1e200, "averaging": 0.5})
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["progress"]["epoch"] == 0


@pytest.mark.parametrize("name", [CHECKPOINT, BEST])
def test_a_damaged_file_is_named(start, graphs, tmp_path, name):
    run(start, graphs, tmp_path, epochs=1)
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=f"{name} cannot be read"):
        run(start, graphs, tmp_path, epochs=1)


def test_the_seed_and_the_weights_matter(whole, start, graphs, tmp_path):
    for k, other in enumerate(({"seed": 5}, {"weights": (100.0, 1.0, 1.0)})):
        found = run(start, graphs, tmp_path / str(k), epochs=1, settings={**GENTLE, **other})
        assert found.history[-1].forces_rmse != whole.history[1].forces_rmse


def test_energies_that_count_from_elsewhere_are_warned_of_once(start, graphs, tmp_path):
    far = copy.deepcopy(graphs)
    for graph in far:
        graph.energy += 2 * 38.0
    with pytest.warns(EnergiesWarning, match=r"off by 3\d.* eV/atom.*--energies fit"):
        run(start, far, tmp_path, epochs=0)
    run(start, far, tmp_path, epochs=1)


def test_curves(whole):
    lines = format_table(whole.history).splitlines()
    assert lines[0].split(",")[:5] == ["epoch", "head", "loss", "energy_rmse_meV_per_atom", "energy_mae_meV_per_atom"]
    assert len(lines) == 7
    assert float(lines[-1].split(",")[5]) == pytest.approx(1e3 * whole.history[-1].forces_rmse)
    figure = plot_curves(whole.history, whole.best)
    assert [len(ax.lines) for ax in figure.axes] == [3, 2, 2, 2]

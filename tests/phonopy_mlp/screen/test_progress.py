"""How far a screening is, in numbers."""

from phonopy_mlp.screen import progress
from phonopy_mlp.screen.progress import Progress, describe_status, read_status
from phonopy_mlp.screen.task import Task


def test_the_end_is_estimated_from_what_was_computed_now(tmp_path, monkeypatch):
    now = [1e9]
    monkeypatch.setattr(progress.time, "time", lambda: now[0])
    path = tmp_path / "status.json"
    shown = Progress(12, path)
    shown.finish("done", computed=False)
    now[0] += 10
    shown.show([], [])
    assert read_status(path)["seconds_left"] is None
    shown.finish("done", computed=True)
    shown.finish("failed", computed=True)
    now[0] += 10
    task = Task("Cu", "relax", "", "", (), "", "", "")
    shown.show([task], [task])
    # Two in twenty seconds, and nine are left.
    assert read_status(path)["seconds_left"] == 90
    lines = describe_status({**read_status(path), "age": 0.0}).splitlines()
    assert lines == [
        "3 of 12 structures: 2 done, 1 failed, 0 lost",
        "running: Cu relax",
        "handed over: Cu relax",
        "some 90 s left",
    ]
    shown.close()
    assert read_status(path)["ended"]

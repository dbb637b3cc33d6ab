"""A screening from its structures to its database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import alone, check_folder, exists
from phonopy_mlp.screen.agreement import agree
from phonopy_mlp.screen.driver import screen
from phonopy_mlp.screen.entries import TASKS, find_structures, read_entries
from phonopy_mlp.screen.executors import open_executor
from phonopy_mlp.screen.plan import Plan
from phonopy_mlp.screen.progress import STATUS_FILE, Progress
from phonopy_mlp.screen.store import Result, Store
from phonopy_mlp.screen.task import Limits, State

LOCK = "screen"


def run_screening(
    sources: Sequence[Path],
    plan: Plan,
    database: str,
    folder: Path,
    *,
    executor: str | Executor = "local",
    workers: int | None = None,
    limits: Limits = Limits(),  # noqa: B008  # frozen
    retry_failed: bool = False,
) -> Mapping[State, int]:
    """Take structures through the steps of a plan, or go on where that was stopped.

    Parameters
    ----------
    sources : sequence of Path
        As in `entries.find_structures`.
    plan : Plan
    database : str
        As `store.Store` takes it.
    folder : Path
        Of all files; of one screening at a time.
    executor : str or Executor, optional
        As in `executors.open_executor`.
    workers : int, optional
    limits : Limits, optional
        Of each task.
    retry_failed : bool, optional
        Do again what has failed.

    Returns
    -------
    mapping of str to int
        Number of structures in each state.

    Raises
    ------
    StructureError
        There are no structures, or two of one name.
    SettingsError
        There are results that were made otherwise, or of another folder, the database is among the sources, or the
        executor cannot be started.
    OutputError
        Another screening is at work in the folder, or it, or the database, cannot be written.
    """
    if any(exists(database) and source.resolve() == Path(database).resolve() for source in sources):
        raise SettingsError(
            f"Database '{database}'", "its structures are to be screened into it", "Give --db another name"
        )
    check_folder(folder)
    states: Counter[State] = Counter()
    with alone(folder, LOCK):
        structures = find_structures(sources, folder)
        store = Store(database)
        agree(store, folder, plan.questions())
        store.retire(structures)
        progress = Progress(len(structures), folder / STATUS_FILE)

        def finish(result: Result, *, computed: bool) -> None:
            finished = result.is_finished(plan.steps)
            if result.steps or store.has(result.entry.name):
                store.write(result, finished=finished)
            if finished:
                states[result.state] += 1
                progress.finish(result.state, computed=computed)

        try:
            with open_executor(executor, workers, limits, device=plan.model.device) as place:
                screen(
                    read_entries(structures),
                    plan,
                    folder / TASKS,
                    place,
                    finish=finish,
                    show=progress.show,
                    retry_failed=retry_failed,
                )
        finally:
            progress.close()
    return states

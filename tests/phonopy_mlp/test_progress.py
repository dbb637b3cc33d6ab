"""Progress bars."""

import pytest

from phonopy_mlp.cli.progress import RelaxationBar


def test_a_relaxation_is_half_done_at_half_the_decades_and_the_next_one_begins_anew():
    with RelaxationBar(1e-6) as show:
        shown = []
        for step, force in ((1, 1.0), (2, 1e-3), (3, 1e-2), (4, 1e-6), (1, 1e-2), (2, 1e-4)):
            show(step, force)
            shown.append(show.percent)
    assert shown == pytest.approx([0, 50, 50, 100, 0, 50])

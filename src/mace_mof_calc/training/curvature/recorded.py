"""Functions of tensors that are recorded on a GPU and replayed.

Differentiating a small network twice takes thousands of short operations; called one by one, a GPU waits for the
program nearly all of the time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]
WARM_UP = 3  # calls before the recording, in which PyTorch compiles and chooses


class Lane:
    """A stream of the GPU and memory, for functions that are replayed one after the other."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # PyTorch's
        self.pool = torch.cuda.graph_pool_handle()


class Recorded:
    """A function as a CUDA graph.

    Parameters
    ----------
    lane : Lane
        That it runs in.
    function : callable
        Takes and returns tensors on one GPU; does nothing else, and nothing that depends on their values.
    arguments : Tensor
        Of the shapes that it will be called with.
    """

    def __init__(self, lane: Lane, function: Function, *arguments: Tensor) -> None:
        self.arguments = [each.clone() for each in arguments]
        self.stream = lane.stream
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP):
                function(*self.arguments)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=lane.pool, stream=self.stream):
            self.results = function(*self.arguments)

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Start the computation; the results are there from ``torch.cuda.synchronize()`` to the lane's next."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for own, given in zip(self.arguments, arguments, strict=True):
                own.copy_(given)
                given.record_stream(self.stream)
            self.graph.replay()
        return self.results

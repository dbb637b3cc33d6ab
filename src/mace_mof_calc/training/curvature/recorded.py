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


class Recorded:
    """A function as a CUDA graph, in a stream of its own.

    Parameters
    ----------
    function : callable
        Takes and returns tensors on one GPU; does nothing else, and nothing that depends on their values.
    arguments : Tensor
        Of the shapes that it will be called with.
    """

    def __init__(self, function: Function, *arguments: Tensor) -> None:
        self.arguments = [each.clone() for each in arguments]
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # PyTorch's
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP):
                function(*self.arguments)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.results = function(*self.arguments)

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Start the computation; the results are there after ``torch.cuda.synchronize()``, until the next call."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for own, given in zip(self.arguments, arguments, strict=True):
                own.copy_(given)
                given.record_stream(self.stream)
            self.graph.replay()
        return self.results

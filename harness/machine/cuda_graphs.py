"""CUDA graphs: work on a GPU that is recorded once and replayed with one launch for all of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch

from harness.noise import Noise

Work = Callable[[], None]
GraphRecorder = Callable[[Work, Sequence[Noise]], Work]


def cuda_graph(work: Work, streams: Sequence[Noise] = ()) -> Work:
    """Record ``work`` as a CUDA graph, and return a function that replays it.

    Python code in ``work`` runs only once, here. A replay reads and writes the same tensors, in place, and draws new
    numbers from ``streams``.
    """
    graph = torch.cuda.CUDAGraph()
    for stream in streams:
        graph.register_generator_state(stream.generator)
    with torch.cuda.graph(graph):
        work()
    return graph.replay


@contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Compute within the block on a separate CUDA stream, as the warm-up before a recording must."""
    if device.type != "cuda":
        yield
        return
    main, side = torch.cuda.current_stream(device), _side_stream(device)
    side.wait_stream(main)
    with torch.cuda.stream(side):
        yield
    main.wait_stream(side)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)

"""Convolutional encoders and decoders for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from harness.errors import NotApplicable

_kernel, _stride, _padding = 4, 2, 1  # a layer halves each side, rounded down


class ConvolutionalEncoder(nn.Module):
    """Maps images to vectors: 4 × 4 convolutions of stride 2, each followed by a ReLU, then one linear layer.

    Args:
        shape: of an image, ``(C, H, W)``.
        channels: of each convolution's output.
        outputs: size of the vector.

    Raises:
        NotApplicable: the image is too small to be halved so many times.
    """

    def __init__(self, shape: tuple[int, int, int], channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        *_, (height, width) = halved_sides(shape, len(channels))
        self.convolutions = nn.Sequential()
        for a, b in pairwise([shape[0], *channels]):
            self.convolutions.extend([nn.Conv2d(a, b, _kernel, _stride, _padding), nn.ReLU()])
        self.linear = nn.Linear(channels[-1] * height * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of images ``(N, C, H, W)``, ``(N, outputs)``."""
        return self.linear(self.convolutions(x).flatten(1))  # type: ignore[no-any-return]


class ConvolutionalDecoder(nn.Module):
    """Mirrors ``ConvolutionalEncoder``: one linear layer, then transposed convolutions, each preceded by a ReLU.

    Args:
        inputs: size of the vector.
        channels: of the encoder, in the encoder's order.
        shape: of an image, ``(C, H, W)``; the sides need not be multiples of a power of two.

    Raises:
        NotApplicable: the image is too small to be halved so many times.
    """

    def __init__(self, inputs: int, channels: Sequence[int], shape: tuple[int, int, int]) -> None:
        super().__init__()
        sizes = halved_sides(shape, len(channels))[::-1]
        self.smallest = (channels[-1], *sizes[0])
        self.linear = nn.Linear(inputs, channels[-1] * sizes[0][0] * sizes[0][1])
        self.convolutions = nn.Sequential()
        widths = [*reversed(channels), shape[0]]
        for (a, b), (small, large) in zip(pairwise(widths), pairwise(sizes), strict=True):
            lost = (large[0] - 2 * small[0], large[1] - 2 * small[1])
            self.convolutions.extend([nn.ReLU(), nn.ConvTranspose2d(a, b, _kernel, _stride, _padding, lost)])

    def forward(self, z: Tensor) -> Tensor:
        """Return the images of vectors ``(N, inputs)``, ``(N, C, H, W)``, with unbounded values."""
        return self.convolutions(self.linear(z).unflatten(1, self.smallest))  # type: ignore[no-any-return]


def halved_sides(shape: tuple[int, int, int], halvings: int) -> list[tuple[int, int]]:
    """Return height and width of an image ``(C, H, W)``, then those after each halving, rounded down.

    Raises:
        NotApplicable: the image is too small to be halved so many times.
    """
    _, height, width = shape
    if min(height, width) < 2**halvings:
        raise NotApplicable(f"{halvings} convolutions of stride 2 need sides of {2**halvings}, not {height} × {width}")
    return [(height >> i, width >> i) for i in range(halvings + 1)]

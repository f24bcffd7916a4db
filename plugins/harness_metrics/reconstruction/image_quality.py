"""Image quality of reconstructions: peak signal-to-noise ratio and structural similarity."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness import Context, Data, Estimate, NotApplicable, Reconstructs
from harness_metrics.reconstruction.errors import ReconstructionSettings, per_example, require_unit_interval

window = 11
edge = window // 2


class PSNR:
    """Peak signal-to-noise ratio of an example, −10 log₁₀ of its mean squared error, for data in [0, 1].

    The peak is 1, the range of the data, even if an image does not use all of it. Reconstructions are clipped to [0,
    1]. The ratio is at most 100 dB, so that an exact reconstruction does not make the mean infinite.
    """

    Config = ReconstructionSettings
    unit: ClassVar = "dB"
    direction: ClassVar = "higher"
    needs: ClassVar = (Reconstructs,)

    def __init__(self, config: ReconstructionSettings) -> None:
        self.config = config

    def measure(self, model: Reconstructs, data: Data, context: Context) -> Estimate:
        """Measure on the test split.

        Raises:
            NotApplicable: the data is not in [0, 1].
        """
        require_unit_interval(data.info, "a peak of 1")

        def ratio(output: Tensor, x: Tensor) -> Tensor:
            error = per_example((output.double().clamp(0, 1) - x.double()).square())
            return -10 * error.clamp(min=1e-10).log10()

        return self.config.over_test(model, data, context, ratio)


class SSIM:
    """Structural similarity (Wang, Bovik, Sheikh and Simoncelli, 2004) of images in [0, 1]; 1 for equal images.

    The mean over channels and over all positions at which the 11 × 11 Gaussian window (standard deviation 1.5) fits
    into the image, with K₁ = 0.01, K₂ = 0.03 and a range of 1. Reconstructions are clipped to [0, 1].
    """

    Config = ReconstructionSettings
    unit: ClassVar = "similarity"
    direction: ClassVar = "higher"
    needs: ClassVar = (Reconstructs,)

    def __init__(self, config: ReconstructionSettings) -> None:
        self.config = config

    def measure(self, model: Reconstructs, data: Data, context: Context) -> Estimate:
        """Measure on the test split.

        Raises:
            NotApplicable: the data is not in [0, 1], or the examples are not images or smaller than the window.
        """
        from torchmetrics.functional.image import structural_similarity_index_measure

        require_unit_interval(data.info, "a range of 1")
        shape = data.info.shape
        if len(shape) != 3 or min(shape[1:]) < window:
            raise NotApplicable(f"a window of {window} × {window} does not fit into examples of shape {shape}")

        def similarity(output: Tensor, x: Tensor) -> Tensor:
            _, places = structural_similarity_index_measure(
                output.clamp(0, 1), x, data_range=1.0, reduction="none", return_full_image=True
            )  # (B, C, H, W); the edges, computed from reflected images, are cut off
            return per_example(places[..., edge:-edge, edge:-edge])

        return self.config.over_test(model, data, context, similarity)

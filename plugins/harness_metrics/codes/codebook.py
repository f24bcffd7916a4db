"""Usage of a codebook."""

from __future__ import annotations

from typing import ClassVar

import torch

from harness import Context, Data, Estimate, NoSettings, Quantizes

batch = 1000


class CodebookPerplexity:
    """exp(−Σ p log p), where p are the frequencies of the codebook's entries over the codes of the test split.

    It is the number of entries if all are used equally, and 1 for a collapsed codebook. The standard error is over test
    examples, by the delta method: that of the mean of −log p over an example's codes, times the perplexity.
    """

    Config = NoSettings
    unit: ClassVar = "entries"
    direction: ClassVar = "higher"
    needs: ClassVar = (Quantizes,)

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def measure(self, model: Quantizes, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        found = torch.cat([model.codes(x) for x in data.test.batches(batch, context.noise)])
        codes = found.reshape(len(found), -1)
        _, which, counts = codes.unique(return_inverse=True, return_counts=True)
        surprise = -(counts.double() / codes.numel()).log()[which].mean(1)  # its mean is the entropy
        perplexity = float(surprise.mean().exp())
        stderr = perplexity * float(surprise.std()) / len(codes) ** 0.5 if len(codes) > 1 else None
        return Estimate(perplexity, stderr, len(codes), diagnostics={"entries_used": len(counts)})

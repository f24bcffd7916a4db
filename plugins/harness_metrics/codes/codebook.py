"""How much of a codebook is used."""

from __future__ import annotations

from typing import ClassVar

import torch

from harness import Context, Data, Estimate, NoSettings, Quantizes

batch = 1000


class CodebookPerplexity:
    """exp(−Σ p log p), where p are the frequencies of the codebook's entries over the codes of the test split.

    All entries used alike give their number; a collapsed codebook gives 1.
    """

    Config = NoSettings
    unit: ClassVar = "entries"
    direction: ClassVar = "higher"
    needs: ClassVar = (Quantizes,)

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def measure(self, model: Quantizes, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        codes = torch.cat([model.codes(x).flatten() for x in data.test.batches(batch, context.noise)])
        _, counts = codes.unique(return_counts=True)
        shares = counts.double() / len(codes)
        perplexity = float((-(shares * shares.log()).sum()).exp())
        return Estimate(perplexity, None, len(data.test), diagnostics={"entries_used": len(counts)})

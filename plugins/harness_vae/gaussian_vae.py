"""The variational autoencoder with a Gaussian observation model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness import setting
from harness_vae.vae import VAE


class GaussianVAE(VAE):
    """The VAE with p(x | z) = N(mean(z), σ² I) whatever the data, and σ² = 1 (Kingma and Welling, 2014, appendix C.2).

    log p(x | z) = −‖x − mean(z)‖² / 2σ² − d/2 log 2πσ², constants kept. In that paper σ² is a function of z; here it
    is one number. At 1, on pixels in [0, 1], a pixel that is wrong by the whole range costs half a nat: few codes are
    worth their KL divergence, and images stay near the mean. ``variance=learned`` finds the scale of the data.
    """

    @dataclass(frozen=True)
    class Config(VAE.Config):
        """Settings: those of ``vae``, but for the observation model."""

        observation: Literal["gaussian"] = setting("gaussian", "distribution of a pixel given the code")
        variance: Literal["learned", "validation"] | float = setting(1.0, "σ², in squared units of the data", above=0)

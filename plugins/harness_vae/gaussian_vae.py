"""The variational autoencoder with a Gaussian observation model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness import setting
from harness_vae.vae import VAE


class GaussianVAE(VAE):
    """The VAE with p(x | z) = N(mean(z), σ² I) for any data, and σ² = 1 (Kingma and Welling, 2014, appendix C.2).

    log p(x | z) = −‖x − mean(z)‖² / 2σ² − d/2 log 2πσ², constants included. In that paper σ² is a function of z; here
    it is one number. At σ² = 1 on pixels in [0, 1], an error of the whole range costs only half a nat, so few codes are
    worth their KL divergence and images stay near the mean. ``variance=learned`` fits the scale of the data.
    """

    @dataclass(frozen=True)
    class Config(VAE.Config):
        """Settings: those of ``vae``, with Gaussian observations of fixed variance by default."""

        observation: Literal["gaussian"] = setting("gaussian", "distribution of a pixel given the code")
        variance: Literal["learned", "validation"] | float = setting(1.0, "σ², in squared units of the data", above=0)

"""Probabilistic principal component analysis."""

from __future__ import annotations

from typing import ClassVar

from harness import Noise, NotApplicable, Split
from harness_linear.eigenpairs import leading_eigenpairs
from harness_linear.linear_gaussian import LinearGaussian
from harness_linear.moments import moments


class PPCA(LinearGaussian):
    """x = W z + μ + ε with ε from N(0, σ² I), fitted by maximum likelihood in closed form (Tipping and Bishop, 1999).

    W = U (Λ − σ² I)^½ with the k leading eigenvectors U and eigenvalues Λ of the training covariance (divided by N);
    σ² is the mean of the other eigenvalues. The likelihood does not determine a rotation of the codes; here it is the
    identity.
    """

    one_variance: ClassVar = True

    def fit(self, train: Split, noise: Noise) -> None:
        """Take μ, W and σ² from the leading eigenvectors of the covariance, accumulated in float64.

        Raises:
            NotApplicable: the training examples lie in k dimensions, which leaves no noise.
        """
        k = self.config.latent_dim
        mean, covariance = moments(train, noise)
        values, vectors, rest = leading_eigenpairs(covariance, k)
        variance = rest / (len(mean) - k)
        if variance <= 1e-12 * values[-1].clamp(min=0):
            raise NotApplicable(
                f"the training examples vary in at most latent_dim={k} dimensions; use a smaller latent_dim"
            )
        self.mean.copy_(mean)
        self.loadings.copy_((vectors * (values - variance).clamp(min=0).sqrt()).flip(1))  # leading first
        self.noise_variance.fill_(variance)

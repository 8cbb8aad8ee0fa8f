"""An objective is one argument of fit. This one is the ELBO with its expectation taken over several draws of z."""

from scratchvae.vae import Terms


class AveragedElbo:
    """The mean over K draws of a VAE's objective: the same bound, with less noise, at K times the cost."""

    name = "averaged-elbo"

    def __init__(self, vae, K):
        self.model, self.K = vae, K
        self.params = vae.params  # for check_gradients
        self.config = {"name": self.name, "K": K}  # for the checkpoint: a run goes on with the same objective

    def draw_eps(self, B, rng):
        return self.model.draw_eps(self.K * B, rng).reshape(self.K, B, -1)  # (K, B, Z)

    def objective(self, x, eps, beta=1.0):
        passes = [self.model.objective(x, one, beta) for one in eps]
        terms = [sum(draws) / self.K for draws in zip(*(terms for terms, _ in passes), strict=True)]  # (B,) each
        return Terms(*terms), [cache for _, cache in passes]

    def backward(self, dobjective, cache):
        grads = [self.model.backward(dobjective / self.K, one) for one in cache]
        return {name: sum(g[name] for g in grads) for name in self.params}

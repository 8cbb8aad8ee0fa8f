from typing import Callable, NamedTuple
from types import SimpleNamespace
import numpy as np
from scipy.special import gammaln, logsumexp


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


ITEMS = []


class Vae1:
    """MNIST-style VAE, tanh hidden layer, dict cache."""
    def __init__(self, seed=0, D=5, H=4, Z=2):
        r = np.random.default_rng(seed)
        g = lambda *s: r.normal(size=s) * 0.5
        self.params = dict(W1=g(D, H), b1=g(H), Wm=g(H, Z), Wv=g(H, Z), bv=g(Z), V1=g(Z, H), c1=g(H), V2=g(H, D), c2=g(D))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        mu = h @ p["Wm"]
        logvar = h @ p["Wv"] + p["bv"]
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        g = np.tanh(z @ p["V1"] + p["c1"])
        a = g @ p["V2"] + p["c2"]
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
        c = dict(x=x, h=h, mu=mu, lv=logvar, std=std, z=z, g=g, a=a, eps=eps, beta=beta)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), c
    def backward(self, dobj, c):
        p = self.params
        d = dobj[:, None]
        da = d * (c["x"] - 1 / (1 + np.exp(-c["a"])))
        G = {"V2": c["g"].T @ da, "c2": da.sum(0)}
        dg = da @ p["V2"].T * (1 - c["g"]**2)
        G["V1"] = c["z"].T @ dg
        G["c1"] = dg.sum(0)
        dz = dg @ p["V1"].T
        dmu = dz - d * c["beta"] * c["mu"]
        dlv = dz * c["std"] * c["eps"] - d * c["beta"] * 0.5 * (np.exp(c["lv"]) - 1)
        G["Wm"] = c["h"].T @ dmu
        G["Wv"] = c["h"].T @ dlv
        G["bv"] = dlv.sum(0)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - c["h"]**2)
        G["W1"] = c["x"].T @ dh
        G["b1"] = dh.sum(0)
        return G
def make_Vae1(seed=1):
    r = np.random.default_rng(seed)
    return dict(model=Vae1(seed), x=(r.random((6, 5)) < 0.5) * 1.0, eps=r.normal(size=(6, 2)))

ITEMS.append(Item('Vae1', 'VAE blog post', 'gradients', make_Vae1, False, 'half of d std / d logvar forgotten', ('Wv', 'bv', 'W1', 'b1'), ('factor', 'elementwise-factor', 'missing-term')))



class Vae2:
    """MNIST-style VAE, tanh hidden layer, dict cache."""
    def __init__(self, seed=0, D=5, H=4, Z=2):
        r = np.random.default_rng(seed)
        g = lambda *s: r.normal(size=s) * 0.5
        self.params = dict(W1=g(D, H), b1=g(H), Wm=g(H, Z), Wv=g(H, Z), bv=g(Z), V1=g(Z, H), c1=g(H), V2=g(H, D), c2=g(D))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        mu = h @ p["Wm"]
        logvar = h @ p["Wv"] + p["bv"]
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        g = np.tanh(z @ p["V1"] + p["c1"])
        a = g @ p["V2"] + p["c2"]
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
        c = dict(x=x, h=h, mu=mu, lv=logvar, std=std, z=z, g=g, a=a, eps=eps, beta=beta)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), c
    def backward(self, dobj, c):
        p = self.params
        d = dobj[:, None]
        da = d * (c["x"] - 1 / (1 + np.exp(-c["a"])))
        G = {"V2": c["g"].T @ da, "c2": da.sum(0)}
        dg = da @ p["V2"].T * (1 - c["g"]**2)
        G["V1"] = c["z"].T @ dg
        G["c1"] = dg.sum(0)
        dz = dg @ p["V1"].T
        dmu = dz - c["beta"] * c["mu"]
        dlv = 0.5 * dz * c["std"] * c["eps"] - d * c["beta"] * 0.5 * (np.exp(c["lv"]) - 1)
        G["Wm"] = c["h"].T @ dmu
        G["Wv"] = c["h"].T @ dlv
        G["bv"] = dlv.sum(0)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - c["h"]**2)
        G["W1"] = c["x"].T @ dh
        G["b1"] = dh.sum(0)
        return G
def make_Vae2(seed=1):
    r = np.random.default_rng(seed)
    return dict(model=Vae2(seed), x=(r.random((6, 5)) < 0.5) * 1.0, eps=r.normal(size=(6, 2)))

ITEMS.append(Item('Vae2', 'VAE blog post', 'gradients', make_Vae2, False, 'the KL path of mu is not weighted by dobjective', ('Wm', 'W1', 'b1'), ('elementwise-factor', 'batch-sum', 'missing-term')))



class Vae3:
    """MNIST-style VAE, tanh hidden layer, dict cache."""
    def __init__(self, seed=0, D=5, H=4, Z=2):
        r = np.random.default_rng(seed)
        g = lambda *s: r.normal(size=s) * 0.5
        self.params = dict(W1=g(D, H), b1=g(H), Wm=g(H, Z), Wv=g(H, Z), bv=g(Z), V1=g(Z, H), c1=g(H), V2=g(H, D), c2=g(D))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        mu = h @ p["Wm"]
        logvar = h @ p["Wv"] + p["bv"]
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        g = np.tanh(z @ p["V1"] + p["c1"])
        a = g @ p["V2"] + p["c2"]
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
        c = dict(x=x, h=h, mu=mu, lv=logvar, std=std, z=z, g=g, a=a, eps=eps, beta=beta)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), c
    def backward(self, dobj, c):
        p = self.params
        d = dobj[:, None]
        da = d * (c["x"] - 1 / (1 + np.exp(-c["a"])))
        G = {"V2": c["g"].T @ da, "c2": da.sum(0)}
        dg = da @ p["V2"].T * (1 - c["g"]**2)
        G["V1"] = c["z"].T @ dg
        G["c1"] = dg.sum(0)
        dz = dg @ p["V1"].T
        dmu = dz - d * c["beta"] * c["mu"]
        dlv = 0.5 * dz * c["std"] * c["eps"] - d * c["beta"] * 0.5 * (np.exp(c["lv"]) - 1)
        G["Wm"] = c["h"].T @ dmu
        G["Wv"] = c["h"].T @ dlv
        G["bv"] = dlv.sum(0)
        dh = (dmu @ p["Wm"].T) * (1 - c["h"]**2)
        G["W1"] = c["x"].T @ dh
        G["b1"] = dh.sum(0)
        return G
def make_Vae3(seed=1):
    r = np.random.default_rng(seed)
    return dict(model=Vae3(seed), x=(r.random((6, 5)) < 0.5) * 1.0, eps=r.normal(size=(6, 2)))

ITEMS.append(Item('Vae3', 'VAE blog post', 'gradients', make_Vae3, False, 'the path through logvar is missing in dh', ('W1', 'b1'), ('missing-term',)))



class Gmm4:
    # mixture of diagonal Gaussians, exact log-likelihood through responsibilities
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = {"alpha": r.normal(size=3), "m": r.normal(size=(3, 2)), "s": 0.3 * r.normal(size=(3, 2))}
    def objective(self, x, eps, beta=1.0):
        al, m, s = (self.params[k] for k in ("alpha", "m", "s"))
        u = (x[:, None, :] - m[None]) / np.exp(s)[None]
        logpi = al - logsumexp(al)
        joint = logpi + (-0.5 * u**2 - s - 0.5 * np.log(2 * np.pi)).sum(-1)
        ll = logsumexp(joint, axis=1)
        return SimpleNamespace(objective=ll), (u, np.exp(joint - ll[:, None]), np.exp(logpi), np.exp(s))
    def backward(self, dobj, cache):
        u, resp, pi, sd = cache
        wr = dobj[:, None] * resp
        d_alpha = wr.sum(0) - dobj.sum() * pi
        d_m = np.einsum("bk,bkd->kd", wr, u)
        d_s = np.einsum("bk,bkd->kd", wr, u**2 - 1)
        return {"alpha": d_alpha, "m": d_m, "s": d_s}
def make_Gmm4(seed=2):
    r = np.random.default_rng(seed)
    return dict(model=Gmm4(seed), x=r.normal(size=(7, 2)), eps=r.normal(size=(7, 1)))

ITEMS.append(Item('Gmm4', 'textbook EM code', 'gradients', make_Gmm4, False, '1/sd missing in the gradient of the means', ('m',), ('elementwise-factor',)))



class Gmm5:
    # mixture of diagonal Gaussians, exact log-likelihood through responsibilities
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = {"alpha": r.normal(size=3), "m": r.normal(size=(3, 2)), "s": 0.3 * r.normal(size=(3, 2))}
    def objective(self, x, eps, beta=1.0):
        al, m, s = (self.params[k] for k in ("alpha", "m", "s"))
        u = (x[:, None, :] - m[None]) / np.exp(s)[None]
        logpi = al - logsumexp(al)
        joint = logpi + (-0.5 * u**2 - s - 0.5 * np.log(2 * np.pi)).sum(-1)
        ll = logsumexp(joint, axis=1)
        return SimpleNamespace(objective=ll), (u, np.exp(joint - ll[:, None]), np.exp(logpi), np.exp(s))
    def backward(self, dobj, cache):
        u, resp, pi, sd = cache
        wr = dobj[:, None] * resp
        d_alpha = wr.sum(0)
        d_m = np.einsum("bk,bkd->kd", wr, u / sd)
        d_s = np.einsum("bk,bkd->kd", wr, u**2 - 1)
        return {"alpha": d_alpha, "m": d_m, "s": d_s}
def make_Gmm5(seed=2):
    r = np.random.default_rng(seed)
    return dict(model=Gmm5(seed), x=r.normal(size=(7, 2)), eps=r.normal(size=(7, 1)))

ITEMS.append(Item('Gmm5', 'textbook EM code', 'gradients', make_Gmm5, False, 'softmax normaliser forgotten', ('alpha',), ('missing-term', 'elementwise-factor')))



class Ppca6:
    """Probabilistic PCA, marginal likelihood N(x | m, W W^T + s2 I)."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = dict(W=r.normal(size=(4, 2)), m=r.normal(size=4), log_s2=np.array([-0.3]))
    def objective(self, x, eps):
        W, m = self.params["W"], self.params["m"]
        D = len(m)
        C = W @ W.T + np.exp(self.params["log_s2"][0]) * np.eye(D)
        Ci = np.linalg.inv(C)
        R = (x - m) @ Ci
        ll = -0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + (R * (x - m)).sum(1))
        self_cache = (R, Ci)
        return SimpleNamespace(objective=ll), self_cache
    def backward(self, dobj, cache):
        R, Ci = cache
        dC = 0.5 * ((dobj[:, None] * R).T @ R - dobj.sum() * Ci)
        dW = dC @ self.params["W"]
        dm = dobj @ R
        dls = np.array([np.trace(dC) * np.exp(self.params["log_s2"][0])])
        return dict(W=dW, m=dm, log_s2=dls)
def make_Ppca6(seed=3):
    r = np.random.default_rng(seed)
    return dict(model=Ppca6(seed), x=r.normal(size=(6, 4)), eps=np.zeros((6, 2)))

ITEMS.append(Item('Ppca6', 'statistics lecture notes', 'gradients', make_Ppca6, False, 'C is quadratic in W: factor 2 missing', ('W',), ('factor', 'missing-term')))



class Hmm7:
    """Discrete HMM, forward-backward; params are unnormalised logits."""
    def __init__(self, seed, S=2, O=3):
        r = np.random.default_rng(seed)
        self.params = {"pi": r.normal(size=S), "A": r.normal(size=(S, S)), "E": r.normal(size=(S, O))}
    def objective(self, x, eps):
        soft = lambda v: np.exp(v - logsumexp(v, axis=-1, keepdims=True))
        pi, A, E = soft(self.params["pi"]), soft(self.params["A"]), soft(self.params["E"])
        x = x.astype(int)
        alpha = [pi * E[:, x[:, 0]].T]
        for t in range(1, x.shape[1]):
            alpha.append((alpha[-1] @ A) * E[:, x[:, t]].T)
        L = alpha[-1].sum(1)
        return SimpleNamespace(objective=np.log(L)), (x, alpha, pi, A, E, L)
    def backward(self, dobj, cache):
        x, alpha, pi, A, E, L = cache
        n, T = x.shape
        nA, nE = np.zeros_like(A), np.zeros_like(E)
        b = np.ones((n, len(pi)))
        w = (dobj / L)[:, None]
        for t in range(T - 1, -1, -1):
            gamma = w * alpha[t] * b
            for i in range(n):
                nE[:, x[i, t]] += gamma[i]
            if t > 0:
                eb = E[:, x[:, t]].T * b
                nA += ((w * alpha[t - 1]).T @ eb) * A
                b = eb @ A
        g0 = gamma.sum(0)
        return {"pi": g0 - pi * g0.sum(),
                "A": nA - A * nA.sum(1, keepdims=True),
                "E": nE - E * nE.sum(1, keepdims=True)}
def make_Hmm7(seed=4):
    r = np.random.default_rng(seed)
    return dict(model=Hmm7(seed), x=r.integers(0, 3, size=(5, 4)).astype(float), eps=np.zeros((5, 1)))

ITEMS.append(Item('Hmm7', 'NLP homework', 'gradients', make_Hmm7, False, 'beta recursion with A instead of its transpose', ('pi', 'A', 'E'), ('transpose',)))



class Iwae8:
    """IWAE, linear encoder, Gaussian decoder with a learned scale. eps (K, B, Z)."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = dict(M=0.5 * r.normal(size=(3, 2)), l=0.3 * r.normal(size=2), V=r.normal(size=(2, 3)), ls=0.2 * r.normal(size=3))
    def objective(self, x, eps):
        p = self.params
        mu = x @ p["M"]
        sig = np.exp(p["l"])
        z = mu + sig * eps
        e = (x - z @ p["V"]) / np.exp(p["ls"])
        logw = (-0.5 * e**2 - p["ls"] - 0.5 * np.log(2 * np.pi)).sum(-1) + (-0.5 * z**2 + 0.5 * eps**2 + p["l"]).sum(-1)
        obj = logsumexp(logw, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=obj), (x, eps, z, e, sig, np.exp(logw - logsumexp(logw, axis=0)))
    def backward(self, dobj, cache):
        x, eps, z, e, sig, wt = cache
        p = self.params
        a = (wt * dobj)[..., None]
        dxhat = a * e / np.exp(p["ls"])
        dV = np.einsum("kbz,kbd->zd", z, dxhat)
        dls = (a * (e**2 - 1)).sum((0, 1))
        dz = dxhat @ p["V"].T - a * z
        dM = x.T @ dz.sum(0)
        dl = (dz * sig * eps).sum((0, 1))
        return dict(M=dM, l=dl, V=dV, ls=dls)
def make_Iwae8(seed=5):
    r = np.random.default_rng(seed)
    return dict(model=Iwae8(seed), x=r.normal(size=(4, 3)), eps=r.normal(size=(3, 4, 2)))

ITEMS.append(Item('Iwae8', 'research repository (IWAE)', 'gradients', make_Iwae8, False, 'entropy term of log w forgotten in dl', ('l',), ('missing-term',)))



class Flow9:
    """Variational inference with one planar flow on top of a Gaussian posterior, Poisson counts."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = dict(M=0.3 * r.normal(size=(3, 2)), l=0.3 * r.normal(size=2), u=0.4 * r.normal(size=2), w=0.4 * r.normal(size=2), V=0.4 * r.normal(size=(2, 3)))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        z0 = x @ p["M"] + np.exp(p["l"]) * eps
        t = np.tanh(z0 @ p["w"])
        uw = p["u"] @ p["w"]
        det = 1 + (1 - t**2) * uw
        z = z0 + t[:, None] * p["u"]
        f = z @ p["V"]
        nll = (np.exp(f) - x * f + gammaln(x + 1)).sum(1)
        kl = (-0.5 * eps**2 - p["l"] + 0.5 * z**2).sum(1) - np.log(det)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, z0, t, uw, det, z, f, beta)
    def backward(self, dobj, cache):
        x, eps, z0, t, uw, det, z, f, beta = cache
        p = self.params
        df = dobj[:, None] * (x - np.exp(f))
        dz = df @ p["V"].T - beta * dobj[:, None] * z
        dlogdet = beta * dobj / det
        h1 = 1 - t**2
        dt = dz @ p["u"]
        da = dt * h1
        duw = (dlogdet * h1).sum()
        dz0 = dz + da[:, None] * p["w"]
        return dict(V=z.T @ df, u=t @ dz + duw * p["w"], w=da @ z0 + duw * p["u"], M=x.T @ dz0,
                    l=(dz0 * np.exp(p["l"]) * eps).sum(0) + beta * dobj.sum())
def make_Flow9(seed=6):
    r = np.random.default_rng(seed)
    return dict(model=Flow9(seed), x=r.poisson(1.0, size=(5, 3)).astype(float), eps=r.normal(size=(5, 2)))

ITEMS.append(Item('Flow9', 'normalizing flow repository', 'gradients', make_Flow9, False, 'the log det path through tanh is missing', ('w', 'M', 'l'), ('missing-term',)))



class Flow10:
    """Variational inference with one planar flow on top of a Gaussian posterior, Poisson counts."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = dict(M=0.3 * r.normal(size=(3, 2)), l=0.3 * r.normal(size=2), u=0.4 * r.normal(size=2), w=0.4 * r.normal(size=2), V=0.4 * r.normal(size=(2, 3)))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        z0 = x @ p["M"] + np.exp(p["l"]) * eps
        t = np.tanh(z0 @ p["w"])
        uw = p["u"] @ p["w"]
        det = 1 + (1 - t**2) * uw
        z = z0 + t[:, None] * p["u"]
        f = z @ p["V"]
        nll = (np.exp(f) - x * f + gammaln(x + 1)).sum(1)
        kl = (-0.5 * eps**2 - p["l"] + 0.5 * z**2).sum(1) - np.log(det)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, z0, t, uw, det, z, f, beta)
    def backward(self, dobj, cache):
        x, eps, z0, t, uw, det, z, f, beta = cache
        p = self.params
        df = dobj[:, None] * (x - np.exp(f))
        dz = df @ p["V"].T - beta * dobj[:, None] * z
        dlogdet = beta * dobj / det
        h1 = 1 - t**2
        dt = dz @ p["u"] - dlogdet * 2 * t * uw
        da = dt
        duw = (dlogdet * h1).sum()
        dz0 = dz + da[:, None] * p["w"]
        return dict(V=z.T @ df, u=t @ dz + duw * p["w"], w=da @ z0 + duw * p["u"], M=x.T @ dz0,
                    l=(dz0 * np.exp(p["l"]) * eps).sum(0) + beta * dobj.sum())
def make_Flow10(seed=6):
    r = np.random.default_rng(seed)
    return dict(model=Flow10(seed), x=r.poisson(1.0, size=(5, 3)).astype(float), eps=r.normal(size=(5, 2)))

ITEMS.append(Item('Flow10', 'normalizing flow repository', 'gradients', make_Flow10, False, 'tanh slope missing', ('w', 'M', 'l'), ('elementwise-factor',)))



def S111(mu, logvar, eps):
    std = np.exp(logvar)
    z = mu + std * eps
    return z
def make_S111(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S111, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S111', 'Keras example', 'sampler', make_S111, False, 'variance used as standard deviation', ('scale',), ('elementwise-factor', 'factor')))



def S112(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    z = mu + std * np.random.normal(size=eps.shape)
    return z
def make_S112(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S112, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S112', 'Keras example', 'sampler', make_S112, False, 'noise drawn inside', ('z',), ('noise-redrawn', 'zero')))



def S113(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    mu += std * eps
    return mu
def make_S113(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S113, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S113', 'Keras example', 'sampler', make_S113, False, 'writes into mu', ('mu',), ('mutates-input',)))



def S214(mu, logvar, eps):
    z = np.empty_like(mu)
    for i in range(len(mu)):
        L = np.diag(np.sqrt(np.exp(logvar[0])))
        z[i] = mu[i] + L @ eps[i]
    return z, (mu, logvar)
def make_S214(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S214, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S214', 'audio research code', 'sampler', make_S214, False, 'every row takes the variance of row 0', ('scale',), ('elementwise-factor', 'batch-sum', 'shape')))



def S315(mu, logvar, eps):
    # antithetic twin of the usual draw
    return mu - np.exp(-logvar / 2) * eps
def make_S315(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S315, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S315', 'Monte Carlo finance code', 'sampler', make_S315, False, 'precision instead of variance', ('scale',), ('elementwise-factor', 'sign')))



def S416(mu, logvar, eps):
    # noise used from the last latent to the first
    return mu + np.sqrt(np.exp(logvar)) * eps[:, :1]
def make_S416(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S416, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S416', 'RL research code', 'sampler', make_S416, False, 'one noise for all latents: latents fully correlated', ('correlation',), ('shape', 'elementwise-factor', 'missing-term')))



class Ev17:
    """Small Bernoulli VAE."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.A, self.S, self.V, self.b = 0.6 * r.normal(size=(3, 2)), 0.4 * r.normal(size=(3, 2)), r.normal(size=(2, 3)), r.normal(size=3)
    def encode(self, x):
        return x @ self.A, x @ self.S - 0.5
    def decode(self, z):
        return z @ self.V + self.b
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        a = self.decode(z)
        nll = -(x * a - np.logaddexp(0, a)).sum(axis=1)
        kl = - (1 + logvar - mu**2 - np.exp(logvar)).sum(axis=1)
        elbo = -nll - kl
        return SimpleNamespace(elbo=elbo, nll=nll, kl=kl), None
def make_Ev17(seed=8):
    r = np.random.default_rng(seed)
    return dict(model=Ev17(seed), x=(r.random((5, 3)) < 0.5) * 1.0)

ITEMS.append(Item('Ev17', 'PyTorch tutorial port', 'evidence', make_Ev17, False, 'half missing in KL', ('kl',), ('factor', 'missing-term')))



class Ev18:
    """Small Bernoulli VAE."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.A, self.S, self.V, self.b = 0.6 * r.normal(size=(3, 2)), 0.4 * r.normal(size=(3, 2)), r.normal(size=(2, 3)), r.normal(size=3)
    def encode(self, x):
        return x @ self.A, x @ self.S - 0.5
    def decode(self, z):
        return z @ self.V + self.b
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        a = self.decode(z)
        nll = -(x * a - np.logaddexp(0, a)).sum(axis=1)
        kl = -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).mean(axis=1)
        elbo = -nll - kl
        return SimpleNamespace(elbo=elbo, nll=nll, kl=kl), None
def make_Ev18(seed=8):
    r = np.random.default_rng(seed)
    return dict(model=Ev18(seed), x=(r.random((5, 3)) < 0.5) * 1.0)

ITEMS.append(Item('Ev18', 'PyTorch tutorial port', 'evidence', make_Ev18, False, 'KL averaged over the latents', ('kl',), ('factor', 'shape')))



class Ev19:
    """Small Bernoulli VAE."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.A, self.S, self.V, self.b = 0.6 * r.normal(size=(3, 2)), 0.4 * r.normal(size=(3, 2)), r.normal(size=(2, 3)), r.normal(size=3)
    def encode(self, x):
        return x @ self.A, x @ self.S - 0.5
    def decode(self, z):
        return z @ self.V + self.b
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        a = self.decode(z)
        nll = -(x * a - np.logaddexp(0, a)).sum(axis=1)
        kl = -0.5 * (1 + logvar - mu - np.exp(logvar)).sum(axis=1)
        elbo = -nll - kl
        return SimpleNamespace(elbo=elbo, nll=nll, kl=kl), None
def make_Ev19(seed=8):
    r = np.random.default_rng(seed)
    return dict(model=Ev19(seed), x=(r.random((5, 3)) < 0.5) * 1.0)

ITEMS.append(Item('Ev19', 'PyTorch tutorial port', 'evidence', make_Ev19, False, 'square of mu missing', ('kl',), ('elementwise-factor', 'missing-term')))



class Ev20:
    """Small Bernoulli VAE."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.A, self.S, self.V, self.b = 0.6 * r.normal(size=(3, 2)), 0.4 * r.normal(size=(3, 2)), r.normal(size=(2, 3)), r.normal(size=3)
    def encode(self, x):
        return x @ self.A, x @ self.S - 0.5
    def decode(self, z):
        return z @ self.V + self.b
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        a = self.decode(z)
        nll = -(x * a - np.logaddexp(0, a)).sum(axis=1)
        kl = -0.5 * (1 + logvar - mu**2 - np.exp(0.5 * logvar)).sum(axis=1)
        elbo = -nll - kl
        return SimpleNamespace(elbo=elbo, nll=nll, kl=kl), None
def make_Ev20(seed=8):
    r = np.random.default_rng(seed)
    return dict(model=Ev20(seed), x=(r.random((5, 3)) < 0.5) * 1.0)

ITEMS.append(Item('Ev20', 'PyTorch tutorial port', 'evidence', make_Ev20, False, 'sigma for sigma^2 in KL', ('kl',), ('elementwise-factor', 'missing-term')))



class Evmc21:
    """ELBO as log p(x, z) - log q(z | x), nothing in closed form; one latent (item response model)."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.k, self.disc, self.diff = r.normal(size=4) * 0.4, 1 + 0.3 * r.normal(size=4), r.normal(size=4)
    def encode(self, x):
        s = x @ self.k
        return s[:, None], (0.3 * s - 0.8)[:, None]
    def decode(self, z):
        return z * self.disc - self.diff
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        sd = np.sqrt(np.exp(lv))
        z = mu + sd * eps
        logit = self.decode(z)
        log_px = np.where(x > 0.5, -np.logaddexp(0, -logit), -np.logaddexp(0, logit)).sum(1)
        log_pz = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(1)
        log_q = (-0.5 * ((z - mu) / sd)**2 - 0.5 * np.log(2 * np.pi)).sum(1)
        return SimpleNamespace(objective=log_px + log_pz - log_q), None
def make_Evmc21(seed=9):
    r = np.random.default_rng(seed)
    return dict(model=Evmc21(seed), x=(r.random((5, 4)) < 0.5) * 1.0)

ITEMS.append(Item('Evmc21', 'psychometrics code', 'evidence', make_Evmc21, False, 'log sd missing in log q', ('elbo',), ('missing-term',)))



class Evmc22:
    """ELBO as log p(x, z) - log q(z | x), nothing in closed form; one latent (item response model)."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.k, self.disc, self.diff = r.normal(size=4) * 0.4, 1 + 0.3 * r.normal(size=4), r.normal(size=4)
    def encode(self, x):
        s = x @ self.k
        return s[:, None], (0.3 * s - 0.8)[:, None]
    def decode(self, z):
        return z * self.disc - self.diff
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        sd = np.sqrt(np.exp(lv))
        z = mu + sd * eps
        logit = self.decode(z)
        log_px = np.where(x > 0.5, -np.logaddexp(0, -logit), -np.logaddexp(0, logit)).sum(1)
        log_pz = (-0.5 * z**2).sum(1)
        log_q = (-0.5 * ((z - mu) / sd)**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).sum(1)
        return SimpleNamespace(objective=log_px + log_pz - log_q), None
def make_Evmc22(seed=9):
    r = np.random.default_rng(seed)
    return dict(model=Evmc22(seed), x=(r.random((5, 4)) < 0.5) * 1.0)

ITEMS.append(Item('Evmc22', 'psychometrics code', 'evidence', make_Evmc22, False, 'normaliser of the prior dropped, the one of q kept', ('elbo',), ('missing-term',)))



class Pois23:
    name, n_params, support = "poisson", 1, (0, np.inf)
    def nll(self, x, logits):
        out = (np.exp(logits) - x * logits).sum(1)
        return out, (x, logits)
    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (np.exp(logits) - x)
    def mean(self, logits):
        return np.exp(logits)
    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)
def make_Pois23():
    return dict(p=Pois23())

ITEMS.append(Item('Pois23', 'single-cell genomics code', 'likelihood', make_Pois23, False, 'log x! left out', ('nll',), ('missing-term',)))



class Gauss24:
    name, n_params, support = "gaussian", 2, (-np.inf, np.inf)
    def nll(self, x, logits):
        m, s = np.split(logits, 2, axis=1)
        u = (x - m) * np.exp(-s)
        return (0.5 * u**2 + s + 0.5 * np.log(2 * np.pi)).sum(1), (u, s)
    def nll_backward(self, dnll, cache):
        u, s = cache
        return dnll[:, None] * np.concatenate([-u * np.exp(-s), 1 - u**2], axis=1)
    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2].copy()
    def sample(self, logits, rng):
        m, s = np.split(logits, 2, axis=1)
        return m + np.exp(0.5 * s) * rng.standard_normal(m.shape)
def make_Gauss24():
    return dict(p=Gauss24())

ITEMS.append(Item('Gauss24', 'probabilistic layer library', 'likelihood', make_Gauss24, False, 'sample takes s for a log variance', ('sample',), ('elementwise-factor', 'factor')))



class Lap25:
    name, n_params, support = "laplace", 2, (-np.inf, np.inf)
    def nll(self, x, logits):
        m, s = np.split(logits, 2, axis=1)
        r = x - m
        b = np.exp(s)
        return (np.abs(r) / b + s).sum(1), (r, b)
    def nll_backward(self, dnll, cache):
        r, b = cache
        d = dnll[:, None]
        return np.hstack([-d * np.sign(r) / b, d * (1 - np.abs(r) / b)])
    def mean(self, logits):
        m, _ = np.split(logits, 2, axis=1)
        return m + 0.0
    def sample(self, logits, rng):
        m, s = np.split(logits, 2, axis=1)
        return rng.laplace(m, np.exp(s))
def make_Lap25():
    return dict(p=Lap25())

ITEMS.append(Item('Lap25', 'vision repository', 'likelihood', make_Lap25, False, 'log 2 of the normaliser missing', ('nll',), ('missing-term',)))



class Expo26:
    name, n_params, support = "exponential", 1, (0, np.inf)
    def nll(self, x, logits):
        # logits are log rates
        rate = np.exp(logits)
        return (rate * x - logits).sum(1), (rate, x)
    def nll_backward(self, dnll, cache):
        rate, x = cache
        return (1 - rate * x) * dnll[:, None]
    def mean(self, logits):
        return np.exp(-logits)
    def sample(self, logits, rng):
        return rng.exponential(np.exp(-logits))
def make_Expo26():
    return dict(p=Expo26())

ITEMS.append(Item('Expo26', 'survival analysis code', 'likelihood', make_Expo26, False, 'sign of nll_backward', ('nll_backward',), ('sign',)))



class Adam27:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.m, self.v = lr, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            m = self.m.setdefault(k, np.zeros_like(g))
            v = self.v.setdefault(k, np.zeros_like(g))
            m *= 0.9
            m += 0.1 * g
            v *= 0.99
            v += 0.01 * g**2
            mhat = m / (1 - 0.9**self.t)
            vhat = v
            params[k] -= self.lr * mhat / (np.sqrt(vhat) + 1e-8)
class Adam27_reference:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.s = lr, 0, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            m, v = self.s.get(k, (0 * g, 0 * g))
            m = 0.9 * m + 0.1 * g
            v = 0.99 * v + 0.01 * g * g
            self.s[k] = m, v
            params[k] -= self.lr * (m / (1 - 0.9**self.t)) / (np.sqrt(v / (1 - 0.99**self.t)) + 1e-8)
def make_Adam27():
    return dict(optimizer=Adam27(), reference=Adam27_reference())

ITEMS.append(Item('Adam27', 'CS231n assignment', 'optimizer', make_Adam27, False, 'no bias correction of v', ('step',), ('factor', 'elementwise-factor', 'missing-term')))



class Adam28:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.m, self.v = lr, 0, {}, {}
    def step(self, params, grads):
        for k, g in grads.items():
            self.t += 1
            m = self.m.setdefault(k, np.zeros_like(g))
            v = self.v.setdefault(k, np.zeros_like(g))
            m *= 0.9
            m += 0.1 * g
            v *= 0.99
            v += 0.01 * g**2
            mhat = m / (1 - 0.9**self.t)
            vhat = v / (1 - 0.99**self.t)
            params[k] -= self.lr * mhat / (np.sqrt(vhat) + 1e-8)
class Adam28_reference:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.s = lr, 0, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            m, v = self.s.get(k, (0 * g, 0 * g))
            m = 0.9 * m + 0.1 * g
            v = 0.99 * v + 0.01 * g * g
            self.s[k] = m, v
            params[k] -= self.lr * (m / (1 - 0.9**self.t)) / (np.sqrt(v / (1 - 0.99**self.t)) + 1e-8)
def make_Adam28():
    return dict(optimizer=Adam28(), reference=Adam28_reference())

ITEMS.append(Item('Adam28', 'CS231n assignment', 'optimizer', make_Adam28, False, 'step counter goes up once a parameter instead of once a step', ('step',), ('factor', 'elementwise-factor', 'unknown')))



class Nest29:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.m, self.v = lr, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            m = self.m.setdefault(k, np.zeros_like(g))
            v = self.v.setdefault(k, np.zeros_like(g))
            prev = m.copy()
            m *= 0.9
            m -= self.lr * g
            params[k] += -0.9 * prev + m
class Nest29_reference:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.s = lr, 0, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            old = self.s.get(k, 0 * g)
            new = 0.9 * old - self.lr * g
            self.s[k] = new
            params[k] += new + 0.9 * (new - old)
def make_Nest29():
    return dict(optimizer=Nest29(), reference=Nest29_reference())

ITEMS.append(Item('Nest29', 'CS231n assignment', 'optimizer', make_Nest29, False, 'Nesterov look-ahead with coefficient 1', ('step',), ('factor', 'elementwise-factor', 'missing-term')))



class Rms30:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.m, self.v = lr, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            m = self.m.setdefault(k, np.zeros_like(g))
            v = self.v.setdefault(k, np.zeros_like(g))
            v += 0.1 * (g**2 - v)
            params[k] -= self.lr * g / (v + 1e-6)
class Rms30_reference:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.s = lr, 0, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            v = 0.9 * self.s.get(k, 0 * g) + 0.1 * g**2
            self.s[k] = v
            params[k] -= self.lr * g / np.sqrt(v + 1e-6)
def make_Rms30():
    return dict(optimizer=Rms30(), reference=Rms30_reference())

ITEMS.append(Item('Rms30', 'RL research code', 'optimizer', make_Rms30, False, 'root missing', ('step',), ('elementwise-factor',)))



class VaeModel:
    """MNIST-style VAE, tanh hidden layer, dict cache."""
    def __init__(self, seed=0, D=5, H=4, Z=2):
        r = np.random.default_rng(seed)
        g = lambda *s: r.normal(size=s) * 0.5
        self.params = dict(W1=g(D, H), b1=g(H), Wm=g(H, Z), Wv=g(H, Z), bv=g(Z), V1=g(Z, H), c1=g(H), V2=g(H, D), c2=g(D))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        mu = h @ p["Wm"]
        logvar = h @ p["Wv"] + p["bv"]
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        g = np.tanh(z @ p["V1"] + p["c1"])
        a = g @ p["V2"] + p["c2"]
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
        c = dict(x=x, h=h, mu=mu, lv=logvar, std=std, z=z, g=g, a=a, eps=eps, beta=beta)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), c
    def backward(self, dobj, c):
        p = self.params
        d = dobj[:, None]
        da = d * (c["x"] - 1 / (1 + np.exp(-c["a"])))
        G = {"V2": c["g"].T @ da, "c2": da.sum(0)}
        dg = da @ p["V2"].T * (1 - c["g"]**2)
        G["V1"] = c["z"].T @ dg
        G["c1"] = dg.sum(0)
        dz = dg @ p["V1"].T
        dmu = dz - d * c["beta"] * c["mu"]
        dlv = 0.5 * dz * c["std"] * c["eps"] - d * c["beta"] * 0.5 * (np.exp(c["lv"]) - 1)
        G["Wm"] = c["h"].T @ dmu
        G["Wv"] = c["h"].T @ dlv
        G["bv"] = dlv.sum(0)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - c["h"]**2)
        G["W1"] = c["x"].T @ dh
        G["b1"] = dh.sum(0)
        return G
def make_VaeModel(seed=1):
    r = np.random.default_rng(seed)
    return dict(model=VaeModel(seed), x=(r.random((6, 5)) < 0.5) * 1.0, eps=r.normal(size=(6, 2)))

ITEMS.append(Item('VaeModel', 'VAE blog post', 'gradients', make_VaeModel, True))



class GmmModel:
    # mixture of diagonal Gaussians, exact log-likelihood through responsibilities
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = {"alpha": r.normal(size=3), "m": r.normal(size=(3, 2)), "s": 0.3 * r.normal(size=(3, 2))}
    def objective(self, x, eps, beta=1.0):
        al, m, s = (self.params[k] for k in ("alpha", "m", "s"))
        u = (x[:, None, :] - m[None]) / np.exp(s)[None]
        logpi = al - logsumexp(al)
        joint = logpi + (-0.5 * u**2 - s - 0.5 * np.log(2 * np.pi)).sum(-1)
        ll = logsumexp(joint, axis=1)
        return SimpleNamespace(objective=ll), (u, np.exp(joint - ll[:, None]), np.exp(logpi), np.exp(s))
    def backward(self, dobj, cache):
        u, resp, pi, sd = cache
        wr = dobj[:, None] * resp
        d_alpha = wr.sum(0) - dobj.sum() * pi
        d_m = np.einsum("bk,bkd->kd", wr, u / sd)
        d_s = np.einsum("bk,bkd->kd", wr, u**2 - 1)
        return {"alpha": d_alpha, "m": d_m, "s": d_s}
def make_GmmModel(seed=2):
    r = np.random.default_rng(seed)
    return dict(model=GmmModel(seed), x=r.normal(size=(7, 2)), eps=r.normal(size=(7, 1)))

ITEMS.append(Item('GmmModel', 'textbook EM code', 'gradients', make_GmmModel, True))



class PpcaModel:
    """Probabilistic PCA, marginal likelihood N(x | m, W W^T + s2 I)."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = dict(W=r.normal(size=(4, 2)), m=r.normal(size=4), log_s2=np.array([-0.3]))
    def objective(self, x, eps):
        W, m = self.params["W"], self.params["m"]
        D = len(m)
        C = W @ W.T + np.exp(self.params["log_s2"][0]) * np.eye(D)
        Ci = np.linalg.inv(C)
        R = (x - m) @ Ci
        ll = -0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + (R * (x - m)).sum(1))
        self_cache = (R, Ci)
        return SimpleNamespace(objective=ll), self_cache
    def backward(self, dobj, cache):
        R, Ci = cache
        dC = 0.5 * ((dobj[:, None] * R).T @ R - dobj.sum() * Ci)
        dW = 2.0 * dC @ self.params["W"]
        dm = dobj @ R
        dls = np.array([np.trace(dC) * np.exp(self.params["log_s2"][0])])
        return dict(W=dW, m=dm, log_s2=dls)
def make_PpcaModel(seed=3):
    r = np.random.default_rng(seed)
    return dict(model=PpcaModel(seed), x=r.normal(size=(6, 4)), eps=np.zeros((6, 2)))

ITEMS.append(Item('PpcaModel', 'statistics lecture notes', 'gradients', make_PpcaModel, True))



class HmmModel:
    """Discrete HMM, forward-backward; params are unnormalised logits."""
    def __init__(self, seed, S=2, O=3):
        r = np.random.default_rng(seed)
        self.params = {"pi": r.normal(size=S), "A": r.normal(size=(S, S)), "E": r.normal(size=(S, O))}
    def objective(self, x, eps):
        soft = lambda v: np.exp(v - logsumexp(v, axis=-1, keepdims=True))
        pi, A, E = soft(self.params["pi"]), soft(self.params["A"]), soft(self.params["E"])
        x = x.astype(int)
        alpha = [pi * E[:, x[:, 0]].T]
        for t in range(1, x.shape[1]):
            alpha.append((alpha[-1] @ A) * E[:, x[:, t]].T)
        L = alpha[-1].sum(1)
        return SimpleNamespace(objective=np.log(L)), (x, alpha, pi, A, E, L)
    def backward(self, dobj, cache):
        x, alpha, pi, A, E, L = cache
        n, T = x.shape
        nA, nE = np.zeros_like(A), np.zeros_like(E)
        b = np.ones((n, len(pi)))
        w = (dobj / L)[:, None]
        for t in range(T - 1, -1, -1):
            gamma = w * alpha[t] * b
            for i in range(n):
                nE[:, x[i, t]] += gamma[i]
            if t > 0:
                eb = E[:, x[:, t]].T * b
                nA += ((w * alpha[t - 1]).T @ eb) * A
                b = eb @ A.T
        g0 = gamma.sum(0)
        return {"pi": g0 - pi * g0.sum(),
                "A": nA - A * nA.sum(1, keepdims=True),
                "E": nE - E * nE.sum(1, keepdims=True)}
def make_HmmModel(seed=4):
    r = np.random.default_rng(seed)
    return dict(model=HmmModel(seed), x=r.integers(0, 3, size=(5, 4)).astype(float), eps=np.zeros((5, 1)))

ITEMS.append(Item('HmmModel', 'NLP homework', 'gradients', make_HmmModel, True))



class IwaeModel:
    """IWAE, linear encoder, Gaussian decoder with a learned scale. eps (K, B, Z)."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = dict(M=0.5 * r.normal(size=(3, 2)), l=0.3 * r.normal(size=2), V=r.normal(size=(2, 3)), ls=0.2 * r.normal(size=3))
    def objective(self, x, eps):
        p = self.params
        mu = x @ p["M"]
        sig = np.exp(p["l"])
        z = mu + sig * eps
        e = (x - z @ p["V"]) / np.exp(p["ls"])
        logw = (-0.5 * e**2 - p["ls"] - 0.5 * np.log(2 * np.pi)).sum(-1) + (-0.5 * z**2 + 0.5 * eps**2 + p["l"]).sum(-1)
        obj = logsumexp(logw, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=obj), (x, eps, z, e, sig, np.exp(logw - logsumexp(logw, axis=0)))
    def backward(self, dobj, cache):
        x, eps, z, e, sig, wt = cache
        p = self.params
        a = (wt * dobj)[..., None]
        dxhat = a * e / np.exp(p["ls"])
        dV = np.einsum("kbz,kbd->zd", z, dxhat)
        dls = (a * (e**2 - 1)).sum((0, 1))
        dz = dxhat @ p["V"].T - a * z
        dM = x.T @ dz.sum(0)
        dl = (dz * sig * eps + a).sum((0, 1))
        return dict(M=dM, l=dl, V=dV, ls=dls)
def make_IwaeModel(seed=5):
    r = np.random.default_rng(seed)
    return dict(model=IwaeModel(seed), x=r.normal(size=(4, 3)), eps=r.normal(size=(3, 4, 2)))

ITEMS.append(Item('IwaeModel', 'research repository (IWAE)', 'gradients', make_IwaeModel, True))



class FlowModel:
    """Variational inference with one planar flow on top of a Gaussian posterior, Poisson counts."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = dict(M=0.3 * r.normal(size=(3, 2)), l=0.3 * r.normal(size=2), u=0.4 * r.normal(size=2), w=0.4 * r.normal(size=2), V=0.4 * r.normal(size=(2, 3)))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        z0 = x @ p["M"] + np.exp(p["l"]) * eps
        t = np.tanh(z0 @ p["w"])
        uw = p["u"] @ p["w"]
        det = 1 + (1 - t**2) * uw
        z = z0 + t[:, None] * p["u"]
        f = z @ p["V"]
        nll = (np.exp(f) - x * f + gammaln(x + 1)).sum(1)
        kl = (-0.5 * eps**2 - p["l"] + 0.5 * z**2).sum(1) - np.log(det)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, z0, t, uw, det, z, f, beta)
    def backward(self, dobj, cache):
        x, eps, z0, t, uw, det, z, f, beta = cache
        p = self.params
        df = dobj[:, None] * (x - np.exp(f))
        dz = df @ p["V"].T - beta * dobj[:, None] * z
        dlogdet = beta * dobj / det
        h1 = 1 - t**2
        dt = dz @ p["u"] - dlogdet * 2 * t * uw
        da = dt * h1
        duw = (dlogdet * h1).sum()
        dz0 = dz + da[:, None] * p["w"]
        return dict(V=z.T @ df, u=t @ dz + duw * p["w"], w=da @ z0 + duw * p["u"], M=x.T @ dz0,
                    l=(dz0 * np.exp(p["l"]) * eps).sum(0) + beta * dobj.sum())
def make_FlowModel(seed=6):
    r = np.random.default_rng(seed)
    return dict(model=FlowModel(seed), x=r.poisson(1.0, size=(5, 3)).astype(float), eps=r.normal(size=(5, 2)))

ITEMS.append(Item('FlowModel', 'normalizing flow repository', 'gradients', make_FlowModel, True))



def S2Right(mu, logvar, eps):
    z = np.empty_like(mu)
    for i in range(len(mu)):
        L = np.diag(np.sqrt(np.exp(logvar[i])))
        z[i] = mu[i] + L @ eps[i]
    return z, (mu, logvar)
def make_S2Right(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S2Right, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S2Right', 'audio research code', 'sampler', make_S2Right, True))



def S3Right(mu, logvar, eps):
    # antithetic twin of the usual draw
    return mu - np.exp(logvar / 2) * eps
def make_S3Right(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S3Right, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S3Right', 'Monte Carlo finance code', 'sampler', make_S3Right, True))



def S4Right(mu, logvar, eps):
    # noise used from the last latent to the first
    return mu + np.sqrt(np.exp(logvar)) * eps[:, ::-1]
def make_S4Right(seed=7):
    r = np.random.default_rng(seed)
    return dict(sampler=S4Right, mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3)) * 0.7 - 0.2)

ITEMS.append(Item('S4Right', 'RL research code', 'sampler', make_S4Right, True))



class EvModel:
    """Small Bernoulli VAE."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.A, self.S, self.V, self.b = 0.6 * r.normal(size=(3, 2)), 0.4 * r.normal(size=(3, 2)), r.normal(size=(2, 3)), r.normal(size=3)
    def encode(self, x):
        return x @ self.A, x @ self.S - 0.5
    def decode(self, z):
        return z @ self.V + self.b
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        a = self.decode(z)
        nll = -(x * a - np.logaddexp(0, a)).sum(axis=1)
        kl = -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(axis=1)
        elbo = -nll - kl
        return SimpleNamespace(elbo=elbo, nll=nll, kl=kl), None
def make_EvModel(seed=8):
    r = np.random.default_rng(seed)
    return dict(model=EvModel(seed), x=(r.random((5, 3)) < 0.5) * 1.0)

ITEMS.append(Item('EvModel', 'PyTorch tutorial port', 'evidence', make_EvModel, True))



class EvmcModel:
    """ELBO as log p(x, z) - log q(z | x), nothing in closed form; one latent (item response model)."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.k, self.disc, self.diff = r.normal(size=4) * 0.4, 1 + 0.3 * r.normal(size=4), r.normal(size=4)
    def encode(self, x):
        s = x @ self.k
        return s[:, None], (0.3 * s - 0.8)[:, None]
    def decode(self, z):
        return z * self.disc - self.diff
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        sd = np.sqrt(np.exp(lv))
        z = mu + sd * eps
        logit = self.decode(z)
        log_px = np.where(x > 0.5, -np.logaddexp(0, -logit), -np.logaddexp(0, logit)).sum(1)
        log_pz = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(1)
        log_q = (-0.5 * ((z - mu) / sd)**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).sum(1)
        return SimpleNamespace(objective=log_px + log_pz - log_q), None
def make_EvmcModel(seed=9):
    r = np.random.default_rng(seed)
    return dict(model=EvmcModel(seed), x=(r.random((5, 4)) < 0.5) * 1.0)

ITEMS.append(Item('EvmcModel', 'psychometrics code', 'evidence', make_EvmcModel, True))



class EviModel:
    """Importance-weighted bound."""
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.A, self.S, self.V, self.b = 0.6 * r.normal(size=(3, 2)), 0.4 * r.normal(size=(3, 2)), r.normal(size=(2, 3)), r.normal(size=3)
    def encode(self, x):
        return x @ self.A, x @ self.S - 0.5
    def decode(self, z):
        return z @ self.V + self.b
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        a = self.decode(z)
        nll = -(x * a - np.logaddexp(0, a)).sum(axis=-1)
        logw = -nll + 0.5 * (eps**2 - z**2 + logvar).sum(-1)
        return SimpleNamespace(objective=logsumexp(logw, axis=0) - np.log(len(eps))), None
    def draw_eps(self, B, rng):
        return rng.standard_normal((4, B, 2))
def make_EviModel(seed=8):
    r = np.random.default_rng(seed)
    return dict(model=EviModel(seed), x=(r.random((5, 3)) < 0.5) * 1.0)

ITEMS.append(Item('EviModel', 'research repository (IWAE)', 'evidence', make_EviModel, True))



class PoisRight:
    name, n_params, support = "poisson", 1, (0, np.inf)
    def nll(self, x, logits):
        out = (np.exp(logits) - x * logits + gammaln(x + 1)).sum(1)
        return out, (x, logits)
    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (np.exp(logits) - x)
    def mean(self, logits):
        return np.exp(logits)
    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)
def make_PoisRight():
    return dict(p=PoisRight())

ITEMS.append(Item('PoisRight', 'single-cell genomics code', 'likelihood', make_PoisRight, True))



class LapRight:
    name, n_params, support = "laplace", 2, (-np.inf, np.inf)
    def nll(self, x, logits):
        m, s = np.split(logits, 2, axis=1)
        r = x - m
        b = np.exp(s)
        return (np.abs(r) / b + s + np.log(2)).sum(1), (r, b)
    def nll_backward(self, dnll, cache):
        r, b = cache
        d = dnll[:, None]
        return np.hstack([-d * np.sign(r) / b, d * (1 - np.abs(r) / b)])
    def mean(self, logits):
        m, _ = np.split(logits, 2, axis=1)
        return m + 0.0
    def sample(self, logits, rng):
        m, s = np.split(logits, 2, axis=1)
        return rng.laplace(m, np.exp(s))
def make_LapRight():
    return dict(p=LapRight())

ITEMS.append(Item('LapRight', 'vision repository', 'likelihood', make_LapRight, True))



class ExpoRight:
    name, n_params, support = "exponential", 1, (0, np.inf)
    def nll(self, x, logits):
        # logits are log rates
        rate = np.exp(logits)
        return (rate * x - logits).sum(1), (rate, x)
    def nll_backward(self, dnll, cache):
        rate, x = cache
        return (rate * x - 1) * dnll[:, None]
    def mean(self, logits):
        return np.exp(-logits)
    def sample(self, logits, rng):
        return rng.exponential(np.exp(-logits))
def make_ExpoRight():
    return dict(p=ExpoRight())

ITEMS.append(Item('ExpoRight', 'survival analysis code', 'likelihood', make_ExpoRight, True))



class AdamRight:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.m, self.v = lr, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            m = self.m.setdefault(k, np.zeros_like(g))
            v = self.v.setdefault(k, np.zeros_like(g))
            m *= 0.9
            m += 0.1 * g
            v *= 0.99
            v += 0.01 * g**2
            mhat = m / (1 - 0.9**self.t)
            vhat = v / (1 - 0.99**self.t)
            params[k] -= self.lr * mhat / (np.sqrt(vhat) + 1e-8)
class AdamRight_reference:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.s = lr, 0, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            m, v = self.s.get(k, (0 * g, 0 * g))
            m = 0.9 * m + 0.1 * g
            v = 0.99 * v + 0.01 * g * g
            self.s[k] = m, v
            params[k] -= self.lr * (m / (1 - 0.9**self.t)) / (np.sqrt(v / (1 - 0.99**self.t)) + 1e-8)
def make_AdamRight():
    return dict(optimizer=AdamRight(), reference=AdamRight_reference())

ITEMS.append(Item('AdamRight', 'CS231n assignment', 'optimizer', make_AdamRight, True))



class NestRight:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.m, self.v = lr, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            m = self.m.setdefault(k, np.zeros_like(g))
            v = self.v.setdefault(k, np.zeros_like(g))
            prev = m.copy()
            m *= 0.9
            m -= self.lr * g
            params[k] += -0.9 * prev + 1.9 * m
class NestRight_reference:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.s = lr, 0, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            old = self.s.get(k, 0 * g)
            new = 0.9 * old - self.lr * g
            self.s[k] = new
            params[k] += new + 0.9 * (new - old)
def make_NestRight():
    return dict(optimizer=NestRight(), reference=NestRight_reference())

ITEMS.append(Item('NestRight', 'CS231n assignment', 'optimizer', make_NestRight, True))



class RmsRight:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.m, self.v = lr, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            m = self.m.setdefault(k, np.zeros_like(g))
            v = self.v.setdefault(k, np.zeros_like(g))
            v += 0.1 * (g**2 - v)
            params[k] -= self.lr * g / np.sqrt(v + 1e-6)
class RmsRight_reference:
    def __init__(self, lr=0.01):
        self.lr, self.t, self.s = lr, 0, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            v = 0.9 * self.s.get(k, 0 * g) + 0.1 * g**2
            self.s[k] = v
            params[k] -= self.lr * g / np.sqrt(v + 1e-6)
def make_RmsRight():
    return dict(optimizer=RmsRight(), reference=RmsRight_reference())

ITEMS.append(Item('RmsRight', 'RL research code', 'optimizer', make_RmsRight, True))


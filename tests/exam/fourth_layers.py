"""Exam paper: single layers, activations, normalisations, losses, small functional pairs."""
from typing import Callable, NamedTuple

import numpy as np
from scipy import special


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


def _wrong(style, slip, wrong, causes, check="vjp"):
    def deco(make):
        ITEMS.append(Item(make.__name__, style, check, make, False, slip, wrong, causes))
        return make
    return deco


def _right(style, check="vjp"):
    def deco(make):
        ITEMS.append(Item(make.__name__, style, check, make, True))
        return make
    return deco


# ------------------------------------------------------------------ audio

@_wrong("audio dsp", "dx of the delayed tap is shifted the same way as in the forward; it must go to the earlier sample: dx[:, :-1] -= a*dy[:, 1:].",
        ("x",), ("transpose", "missing-term"))
def preemphasis():
    def forward(x, coeff):
        y = x.copy()
        y[:, 1:] -= coeff * x[:, :-1]
        return y, (x, coeff)

    def backward(dy, cache):
        x, coeff = cache
        dx = dy.copy()
        dx[:, 1:] -= coeff * dy[:, :-1]
        dcoeff = np.array([-np.sum(dy[:, 1:] * x[:, :-1])])
        return {"x": dx, "coeff": dcoeff}

    r = np.random.default_rng(1)
    return {"forward": forward, "backward": backward, "inputs": {"x": r.normal(size=(4, 7)), "coeff": np.array([0.97])}}


@_wrong("audio dsp", "The derivative of |x| is missing: multiply by sign(x).", ("x",), ("elementwise-factor",))
def log_magnitude():
    def forward(x, floor=1e-2):
        mag = np.abs(x) + floor
        return 20.0 / np.log(10.0) * np.log(mag), (x, mag)

    def backward(dy, cache):
        x, mag = cache
        return (20.0 / np.log(10.0)) * dy / mag

    r = np.random.default_rng(2)
    x = r.normal(size=(3, 6))
    x += 0.2 * np.sign(x)
    return {"forward": forward, "backward": backward, "inputs": {"x": x}}


@_wrong("audio dsp", "The rms depends on the samples as well: subtract the projection x * mean(x*dy) / rms^2.", ("wave",), ("missing-term",))
def loudness_normalise():
    def forward(wave, target_db):
        rms = np.sqrt(np.mean(wave ** 2, axis=-1, keepdims=True) + 1e-8)
        gain = 10.0 ** (target_db / 20.0) / rms
        out = gain * wave
        return out, {"wave": wave, "rms": rms, "gain": gain, "out": out}

    def backward(dout, c):
        dtarget = np.sum(dout * c["out"], axis=-1, keepdims=True) * np.log(10.0) / 20.0
        return {"wave": c["gain"] * dout, "target_db": dtarget}

    r = np.random.default_rng(3)
    return {"forward": forward, "backward": backward,
            "inputs": {"wave": 0.3 * r.normal(size=(3, 8)), "target_db": r.uniform(-6, 6, size=(3, 1))}}


@_wrong("audio augmentation", "backward draws a new mask from the generator; it must use the one of the forward (kept in the cache).",
        ("spec",), ("noise-redrawn", "elementwise-factor"))
def spec_augment_time_dropout():
    def forward(spec, gain, seed, keep):
        rng = np.random.default_rng(seed)
        mask = (rng.random(spec.shape) < keep) / keep
        return spec * mask + gain, (rng, keep, spec.shape)

    def backward(dout, cache):
        rng, keep, shape = cache
        mask = (rng.random(shape) < keep) / keep
        return {"spec": dout * mask, "gain": dout.sum(axis=0)}

    r = np.random.default_rng(4)
    return {"forward": forward, "backward": backward,
            "inputs": {"spec": r.normal(size=(4, 6)), "gain": r.normal(size=6)}, "constants": {"seed": 11, "keep": 0.6}}


@_right("audio dsp")
def fft_power_spectrum():
    def forward(x, window):
        X = np.fft.fft(x * window, axis=1)
        return X.real ** 2 + X.imag ** 2, (x, window, X)

    def backward(dP, cache):
        x, window, X = cache
        n = x.shape[1]
        dxw = 2.0 * n * np.fft.ifft(dP * X, axis=1).real
        return dxw * window, (dxw * x).sum(axis=0)

    r = np.random.default_rng(5)
    return {"forward": forward, "backward": backward, "inputs": {"x": r.normal(size=(3, 6)), "window": np.hanning(8)[1:-1].copy()}}


# ------------------------------------------------------------------ optics

@_wrong("optics", "n2 also sets the angle of refraction: dn2 misses -dst*st/n2.", ("n2",), ("missing-term",))
def fresnel_s():
    def forward(theta, n1, n2):
        ci = np.cos(theta)
        si = np.sin(theta)
        st = n1 / n2 * si
        ct = np.sqrt(1.0 - st ** 2)
        a, b = n1 * ci, n2 * ct
        rs = (a - b) / (a + b)
        return rs ** 2, (theta, n1, n2, ci, si, st, ct, a, b, rs)

    def backward(dR, cache):
        theta, n1, n2, ci, si, st, ct, a, b, rs = cache
        drs = 2.0 * rs * dR
        da = drs * 2.0 * b / (a + b) ** 2
        db = -drs * 2.0 * a / (a + b) ** 2
        dct = db * n2
        dst = -dct * st / ct
        dn1 = da * ci + dst * si / n2
        dn2 = db * ct
        dtheta = -da * n1 * si + dst * n1 / n2 * ci
        return {"theta": dtheta, "n1": dn1, "n2": dn2}

    r = np.random.default_rng(6)
    return {"forward": forward, "backward": backward,
            "inputs": {"theta": r.uniform(0.4, 1.1, 5), "n1": r.uniform(1.0, 1.1, 5), "n2": r.uniform(1.4, 1.9, 5)}}


@_wrong("optics / spectroscopy", "Absorbance enters with a minus: dconc has the wrong sign.", ("conc",), ("sign",))
def beer_lambert():
    def forward(conc, absorptivity, I0, path):
        A = path * conc @ absorptivity
        I = I0 * np.exp(-A)
        return I, (conc, absorptivity, I0, path, A, I)

    def backward(dI, cache):
        conc, eps, I0, path, A, I = cache
        dA = dI * I
        dconc = path * dA @ eps.T
        deps = -path * conc.T @ dA
        dI0 = np.sum(dI * np.exp(-A), axis=0)
        return dict(conc=dconc, absorptivity=deps, I0=dI0)

    r = np.random.default_rng(7)
    return {"forward": forward, "backward": backward,
            "inputs": {"conc": r.uniform(0.1, 1, (4, 2)), "absorptivity": r.uniform(0.2, 1.5, (2, 5)), "I0": r.uniform(1, 2, 5)},
            "constants": {"path": 0.8}}


@_right("optics")
def jones_polariser_chain():
    # complex field, real parameters; intensity behind a retarder and an analyser
    def forward(ex, ey, delta, alpha):
        E = ex + 1j * 0
        F = ey * np.exp(1j * delta)
        out = E * np.cos(alpha) + F * np.sin(alpha)
        return np.abs(out) ** 2, (ex, ey, delta, alpha, out)

    def backward(dI, cache):
        ex, ey, delta, alpha, out = cache
        g = 2.0 * dI * np.conj(out)
        ph = np.exp(1j * delta)
        dex = np.real(g * np.cos(alpha))
        dey = np.real(g * ph * np.sin(alpha))
        ddelta = np.real(g * 1j * ey * ph * np.sin(alpha))
        dalpha = np.real(g * (-ex * np.sin(alpha) + ey * ph * np.cos(alpha)))
        return {"alpha": np.asarray(dalpha.sum()), "delta": ddelta, "ex": dex, "ey": dey}

    r = np.random.default_rng(8)
    return {"forward": forward, "backward": backward,
            "inputs": {"ex": r.normal(size=4), "ey": r.normal(size=4), "delta": r.uniform(-2, 2, 4), "alpha": np.array(0.7)}}


# ------------------------------------------------------------------ chemistry

@_wrong("chemistry / enzyme kinetics", "d(I/Ki)/dKi is -I/Ki^2, not -I/Ki: off by 1/Ki.", ("Ki",), ("factor", "elementwise-factor"))
def competitive_inhibition():
    def forward(S, I, Vmax, Km, Ki):
        Kapp = Km * (1.0 + I / Ki)
        den = Kapp + S
        v = Vmax * S / den
        return v, (S, I, Vmax, Km, Ki, den, v)

    def backward(dv, cache):
        S, I, Vmax, Km, Ki, den, v = cache
        dden = -dv * v / den
        grads = {}
        grads["Vmax"] = np.sum(dv * S / den, keepdims=True)
        grads["S"] = dv * Vmax / den + dden
        grads["I"] = dden * Km / Ki
        grads["Km"] = np.sum(dden * (1.0 + I / Ki), keepdims=True)
        grads["Ki"] = np.sum(dden * Km * -I / Ki, keepdims=True)
        return grads

    r = np.random.default_rng(9)
    return {"forward": forward, "backward": backward,
            "inputs": {"S": r.uniform(0.2, 3, 5), "I": r.uniform(0.1, 1, 5), "Vmax": np.array([2.0]), "Km": np.array([0.7]), "Ki": np.array([0.4])}}


@_wrong("chemistry / kinetics", "dk/dT is k*Ea/(R T^2); a power of T is missing.", ("T",), ("elementwise-factor",))
def arrhenius():
    R = 8.314      # kJ, kilokelvin

    def forward(logA, Ea, T):
        k = np.exp(logA - Ea / (R * T[:, None]))
        return k, (Ea, T, k)

    def backward(dk, cache):
        Ea, T, k = cache
        g = dk * k
        dT = (g * Ea).sum(axis=1) / (R * T)
        return g.sum(axis=0), -(g / (R * T[:, None])).sum(axis=0), dT

    r = np.random.default_rng(10)
    return {"forward": forward, "backward": backward,
            "inputs": {"logA": r.uniform(3, 5, 3), "Ea": r.uniform(2, 6, 3), "T": r.uniform(0.28, 0.9, 4)}}


@_wrong("chemistry / pharmacology", "K^n depends on n too: the slope has log(x/K), not log(x).", ("n",), ("missing-term",))
def hill_response():
    def forward(x, K, n):
        xn = x ** n
        Kn = K ** n
        y = xn / (xn + Kn)
        return y, (x, K, n, y)

    def backward(dy, cache):
        x, K, n, y = cache
        s = dy * y * (1 - y)
        dx = s * n / x
        dK = -(s * n / K).sum(0)
        dn = (s * np.log(x)).sum(0)
        return {"x": dx, "K": dK, "n": dn}

    r = np.random.default_rng(12)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": r.uniform(0.3, 4, (5, 3)), "K": r.uniform(1.5, 3, 3), "n": r.uniform(1, 3, 3)}}


@_wrong("chemistry / reaction network", "The stoichiometric matrix receives its gradient transposed: it is rate.T @ ddc.", ("stoich",), ("transpose",))
def reaction_rates():
    def forward(c, logk, stoich):
        rate = np.exp(logk) * c ** 2
        return rate @ stoich, (c, logk, stoich, rate)

    def backward(ddc, cache):
        c, logk, stoich, rate = cache
        drate = ddc @ stoich.T
        return {"c": drate * np.exp(logk) * 2 * c,
                "logk": (drate * rate).sum(axis=0),
                "stoich": ddc.T @ rate}

    r = np.random.default_rng(13)
    return {"forward": forward, "backward": backward,
            "inputs": {"c": r.uniform(0.2, 1.5, (5, 3)), "logk": r.normal(size=3), "stoich": r.normal(size=(3, 3))}}


@_right("chemistry / titration")
def implicit_equilibrium():
    # h solves  h^2 + K h - K c = 0 ; derivative by the implicit function theorem, never through the iteration
    def forward(K, c):
        h = np.sqrt(K * c)
        for _ in range(60):
            h = h - (h * h + K * h - K * c) / (2 * h + K)
        return -np.log10(h), (K, c, h)

    def backward(dpH, cache):
        K, c, h = cache
        dh = -dpH / (h * np.log(10.0))
        lam = dh / (2 * h + K)
        return {"K": -lam * (h - c), "c": lam * K}

    r = np.random.default_rng(14)
    return {"forward": forward, "backward": backward, "inputs": {"K": r.uniform(0.2, 2.0, 5), "c": r.uniform(0.3, 1.0, 5)}}


# ------------------------------------------------------------------ epidemiology

@_wrong("epidemiology", "In the reverse sweep the susceptibles get nothing from the infections: ds += dinf*beta*i is missing.",
        ("beta", "gamma", "i0"), ("missing-term", "unknown"))
def sir_incidence():
    def forward(beta, gamma, i0, T):
        s, i = 1.0 - i0, i0
        tape, ys = [], []
        for _ in range(T):
            inf = beta * s * i
            tape.append((s, i))
            s, i = s - inf, i + inf - gamma * i
            ys.append(inf)
        return np.stack(ys, 1), (beta, gamma, tape)

    def backward(dy, cache):
        beta, gamma, tape = cache
        ds = np.zeros_like(beta)
        di = np.zeros_like(beta)
        dbeta = np.zeros_like(beta)
        dgamma = np.zeros_like(gamma)
        for t in reversed(range(len(tape))):
            s, i = tape[t]
            dinf = dy[:, t] - ds + di
            dbeta += dinf * s * i
            dgamma -= di * i
            di = di * (1.0 - gamma) + dinf * beta * s
        return {"beta": dbeta, "gamma": dgamma, "i0": di - ds}

    r = np.random.default_rng(15)
    return {"forward": forward, "backward": backward,
            "inputs": {"beta": r.uniform(0.8, 1.5, 4), "gamma": r.uniform(0.1, 0.4, 4), "i0": r.uniform(0.1, 0.3, 4)}, "constants": {"T": 5}}


@_wrong("epidemiology", "dw is overwritten in the loop over regions; only the last one counts: use +=.", ("w",), ("batch-sum",))
def renewal_intensity():
    def forward(R, w, cases):
        B, T = cases.shape
        L = len(w)
        lam = np.zeros((B, T - L))
        for b in range(B):
            for t in range(T - L):
                lam[b, t] = R[b] * np.dot(w, cases[b, t:t + L][::-1])
        return lam, (R, w, cases)

    def backward(dlam, cache):
        R, w, cases = cache
        B, T = cases.shape
        L = len(w)
        dR = np.zeros(B)
        dw = np.zeros(L)
        for b in range(B):
            hist = np.array([cases[b, t:t + L][::-1] for t in range(T - L)])
            dR[b] = dlam[b] @ (hist @ w)
            dw = R[b] * (dlam[b] @ hist)
        return dR, dw

    r = np.random.default_rng(16)
    return {"forward": forward, "backward": backward,
            "inputs": {"R": r.uniform(0.7, 1.6, 3), "w": r.dirichlet(np.ones(3))}, "constants": {"cases": r.poisson(6, size=(3, 8))}}


@_wrong("survival analysis", "The adjoint of a cumulative sum runs backwards in time: flip before and after cumsum.", ("loghaz",), ("transpose",))
def survival_curve():
    def forward(loghaz, frailty):
        h = np.exp(loghaz)
        H = np.cumsum(h, axis=1) * frailty[:, None]
        S = np.exp(-H)
        return S, (h, H, S, frailty)

    def backward(dS, cache):
        h, H, S, frailty = cache
        dH = -dS * S
        dh = np.cumsum(dH * frailty[:, None], axis=1)
        dfrailty = (dH * H).sum(1) / frailty
        return {"loghaz": dh * h, "frailty": dfrailty}

    r = np.random.default_rng(17)
    return {"forward": forward, "backward": backward,
            "inputs": {"loghaz": r.normal(-1.5, 0.5, (4, 5)), "frailty": r.uniform(0.5, 1.5, 4)}}


@_right("survival analysis")
def cox_partial_likelihood():
    def forward(X, beta, time, event):
        order = np.argsort(-time)
        eta = (X @ beta)[order]
        ev = event[order].astype(bool)
        m = eta.max()
        cum = np.cumsum(np.exp(eta - m))
        loss = -np.sum((eta - np.log(cum) - m)[ev])
        return loss, (X, beta, order, eta, ev, m, cum)

    def backward(dloss, cache):
        X, beta, order, eta, ev, m, cum = cache
        tail = np.cumsum((ev / cum)[::-1])[::-1]
        deta_sorted = dloss * (np.exp(eta - m) * tail - ev)
        deta = np.empty_like(deta_sorted)
        deta[order] = deta_sorted
        return np.outer(deta, beta), X.T @ deta

    r = np.random.default_rng(18)
    return {"forward": forward, "backward": backward, "inputs": {"X": r.normal(size=(6, 3)), "beta": r.normal(size=3)},
            "constants": {"time": np.array([5, 3, 8, 1, 9, 4]), "event": np.array([1, 0, 1, 1, 0, 1])}}


# ------------------------------------------------------------------ econometrics

@_wrong("econometrics", "The censored rows contribute to the gradient of log sigma too (lambda * a).", ("log_s",), ("missing-term",))
def tobit_nll():
    def forward(X, beta, log_s, y):
        s = np.exp(log_s[0])
        mu = X @ beta
        cens = y <= 0
        z = (y - mu) / s
        a = -mu / s
        ll = np.where(cens, special.log_ndtr(a), -0.5 * z ** 2 - log_s[0] - 0.5 * np.log(2 * np.pi))
        return -ll.sum(), (X, beta, s, z, a, cens)

    def backward(dnll, cache):
        X, beta, s, z, a, cens = cache
        mills = np.exp(-0.5 * a ** 2 - 0.5 * np.log(2 * np.pi) - special.log_ndtr(a))
        dmu = dnll * np.where(cens, mills / s, -z / s)
        dlog_s = dnll * np.sum(1.0 - z[~cens] ** 2)
        return {"X": np.outer(dmu, beta), "beta": X.T @ dmu, "log_s": np.array([dlog_s])}

    r = np.random.default_rng(19)
    X = r.normal(size=(6, 2))
    y = np.array([0.0, 1.3, 0.0, 0.4, 2.1, 0.0])
    return {"forward": forward, "backward": backward, "inputs": {"X": X, "beta": np.array([0.8, -0.5]), "log_s": np.array([0.2])},
            "constants": {"y": y}}


@_wrong("econometrics", "The outer exponent 1/r depends on r: Q*(-log(agg)/r^2) is missing in dr.", ("r",), ("missing-term",))
def ces_production():
    def forward(K, L, share, r):
        k, l = K ** r, L ** r
        agg = share * k + (1 - share) * l
        Q = agg ** (1.0 / r)
        return Q, (K, L, share, r, k, l, agg, Q)

    def backward(dQ, cache):
        K, L, share, r, k, l, agg, Q = cache
        dagg = dQ * Q / (r * agg)
        dK = dagg * share * r * k / K
        dL = dagg * (1 - share) * r * l / L
        dshare = np.sum(dagg * (k - l)).reshape(1)
        dr = np.sum(dagg * (share * k * np.log(K) + (1 - share) * l * np.log(L))).reshape(1)
        return {"K": dK, "L": dL, "share": dshare, "r": dr}

    g = np.random.default_rng(20)
    return {"forward": forward, "backward": backward,
            "inputs": {"K": g.uniform(1.2, 4, 5), "L": g.uniform(1.5, 3, 5), "share": np.array([0.35]), "r": np.array([-0.6])}}


@_wrong("econometrics / quantile regression", "tau and 1-tau stand exchanged: the slope is -tau above and 1-tau below the prediction.",
        ("pred",), ("elementwise-factor",))
def pinball_loss():
    def forward(pred, target, taus):
        e = target[:, None] - pred
        return np.maximum(taus * e, (taus - 1) * e).mean(), (e, taus)

    def backward(dloss, cache):
        e, taus = cache
        return dloss * np.where(e > 0, taus - 1, taus) / e.size

    r = np.random.default_rng(21)
    return {"forward": forward, "backward": backward, "inputs": {"pred": r.normal(size=(5, 3))},
            "constants": {"target": r.normal(size=5), "taus": np.array([0.1, 0.3, 0.9])}}


@_wrong("econometrics / discrete choice", "exp(v)/(1+exp(v)) is inf/inf for large v; use 1/(1+exp(-v)) or expit.", ("v",), ("non-finite",))
def inclusive_value():
    def forward(v, outside):
        return np.logaddexp(v, outside), (v, outside)

    def backward(dy, cache):
        v, outside = cache
        e = np.exp(v - outside)
        p = e / (1.0 + e)
        return {"v": dy * p, "outside": np.sum(dy * special.expit(outside - v), axis=0)}

    return {"forward": forward, "backward": backward,
            "inputs": {"v": np.array([[-3.0, 0.5, 800.0], [1.0, -900.0, 2.0], [0.3, 4.0, 760.0]]), "outside": np.array([0.1, -0.2, 0.4])}}


@_wrong("econometrics / panel data", "The deviations are formed from a float32 copy; at levels of 2e5 they lose their digits. Keep float64.",
        ("level",), ("precision",))
def within_variance():
    def forward(level, weight):
        centred = level - level.mean(axis=1, keepdims=True)
        v = (centred ** 2).mean(axis=1)
        return weight * v, (level.astype(np.float32), weight, v)

    def backward(dy, cache):
        level, weight, v = cache
        centred = level - level.mean(axis=1, keepdims=True, dtype=np.float64)
        dlevel = (2.0 / level.shape[1]) * (dy * weight)[:, None] * centred
        return {"level": dlevel, "weight": dy * v}

    r = np.random.default_rng(22)
    return {"forward": forward, "backward": backward,
            "inputs": {"level": 2.0e5 + 0.03 * r.normal(size=(4, 5)), "weight": r.uniform(50, 150, 4)}}


@_right("econometrics / finance")
def black_scholes_call():
    def forward(S, K, sigma, T, rate):
        sd = sigma * np.sqrt(T)
        d1 = (np.log(S / K) + rate * T) / sd + 0.5 * sd
        d2 = d1 - sd
        price = S * special.ndtr(d1) - K * np.exp(-rate * T) * special.ndtr(d2)
        return price, (S, K, sigma, T, rate, d1, d2)

    def backward(dp, cache):
        S, K, sigma, T, rate, d1, d2 = cache
        phi = np.exp(-0.5 * d1 ** 2) / np.sqrt(2 * np.pi)
        disc = np.exp(-rate * T)
        delta = special.ndtr(d1)
        strike = -disc * special.ndtr(d2)
        vega = S * phi * np.sqrt(T)
        theta = S * phi * sigma / (2 * np.sqrt(T)) + rate * K * disc * special.ndtr(d2)
        return (dp * delta).sum(), dp * strike, (dp * vega).sum(), dp * theta

    return {"forward": forward, "backward": backward,
            "inputs": {"S": np.array(1.05), "K": np.array([0.9, 1.0, 1.2, 1.4]), "sigma": np.array(0.25), "T": np.array([0.5, 1.0, 1.5, 2.0])},
            "constants": {"rate": 0.03}}


@_right("econometrics / robust statistics")
def student_t_nll():
    def forward(resid, log_scale, log_dof):
        nu = np.exp(log_dof)
        s = np.exp(log_scale)
        q = 1.0 + (resid / s) ** 2 / nu
        nll = (-special.gammaln((nu + 1) / 2) + special.gammaln(nu / 2) + 0.5 * np.log(nu * np.pi) + log_scale
               + (nu + 1) / 2 * np.log(q))
        return nll, (resid, s, nu, q)

    def backward(dn, cache):
        resid, s, nu, q = cache
        z = resid / s
        dz = (nu + 1) * z / (nu * q)
        dnu = 0.5 * (special.digamma(nu / 2) - special.digamma((nu + 1) / 2) + 1 / nu + np.log(q) - (nu + 1) * z * z / (nu * nu * q))
        return dict(log_dof=np.sum(dn * dnu * nu), resid=dn * dz / s, log_scale=np.sum(dn * (1 - dz * z)))

    r = np.random.default_rng(23)
    return {"forward": forward, "backward": backward,
            "inputs": {"resid": 2 * r.normal(size=6), "log_scale": np.array(-0.3), "log_dof": np.array(1.1)}}


# ------------------------------------------------------------------ recommender systems

@_wrong("recommender", "The score of the negative enters with a minus: dneg = -dx * user.", ("neg",), ("sign",))
def bpr_loss():
    def forward(user, pos, neg):
        x = np.einsum("bk,bk->b", user, pos - neg)
        return np.mean(np.logaddexp(0, -x)), (user, pos, neg, x)

    def backward(dl, cache):
        user, pos, neg, x = cache
        dx = -dl * special.expit(-x)[:, None] / len(x)
        return {"user": dx * (pos - neg), "pos": dx * user, "neg": dx * user}

    r = np.random.default_rng(24)
    return {"forward": forward, "backward": backward, "inputs": {k: r.normal(size=(5, 3)) for k in ("user", "pos", "neg")}}


@_wrong("recommender", "The diagonal part -V * (x^2).T @ dy is missing in dV.", ("V",), ("missing-term",))
def factorization_machine():
    def forward(x, w0, w, V):
        xv = x @ V
        pair = 0.5 * np.sum(xv ** 2 - (x ** 2) @ (V ** 2), axis=1)
        return w0 + x @ w + pair, (x, w0, w, V, xv)

    def backward(dy, cache):
        x, w0, w, V, xv = cache
        g = dy[:, None]
        dx = g * w + (g * xv) @ V.T - g * x * np.sum(V ** 2, axis=1)
        dV = x.T @ (g * xv)
        return {"x": dx, "w0": dy.sum().reshape(1), "w": x.T @ dy, "V": dV}

    r = np.random.default_rng(25)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": r.normal(size=(4, 5)), "w0": r.normal(size=1), "w": r.normal(size=5), "V": r.normal(size=(5, 3))}}


@_wrong("recommender", "dbu[uid] += dy drops repeated users; np.add.at(dbu, uid, dy).", ("bu",), ("batch-sum",))
def biased_mf():
    def forward(P, Q, bu, bi, uid, iid):
        p, q = P[uid], Q[iid]
        return (p * q).sum(1) + bu[uid] + bi[iid], (P, Q, bu, bi, uid, iid)

    def backward(dy, cache):
        P, Q, bu, bi, uid, iid = cache
        dP, dQ = np.zeros_like(P), np.zeros_like(Q)
        dbu, dbi = np.zeros_like(bu), np.zeros_like(bi)
        np.add.at(dP, uid, dy[:, None] * Q[iid])
        np.add.at(dQ, iid, dy[:, None] * P[uid])
        dbu[uid] += dy
        np.add.at(dbi, iid, dy)
        return {"P": dP, "Q": dQ, "bu": dbu, "bi": dbi}

    r = np.random.default_rng(26)
    return {"forward": forward, "backward": backward,
            "inputs": {"P": r.normal(size=(4, 2)), "Q": r.normal(size=(5, 2)), "bu": r.normal(size=4), "bi": r.normal(size=5)},
            "constants": {"uid": np.array([0, 2, 2, 3, 0, 2]), "iid": np.array([1, 1, 4, 0, 3, 2])}}


@_wrong("recommender, layer classes", "The gradient table is never cleared: a second backward adds to the first. Set it to zero at the start of backward.",
        ("W",), ("accumulates",))
def item_embedding():
    class EmbeddingBag:
        def __init__(self, n, k):
            self.dW = np.zeros((n, k))

        def forward(self, W, ids):
            self.ids = ids
            return W[ids].mean(axis=1)

        def backward(self, dout):
            share = np.repeat(dout[:, None, :] / self.ids.shape[1], self.ids.shape[1], axis=1)
            np.add.at(self.dW, self.ids, share)
            return self.dW.copy()

    layer = EmbeddingBag(6, 3)

    def forward(W, ids):
        return layer.forward(W, ids), None

    def backward(dout, cache):
        return {"W": layer.backward(dout)}

    r = np.random.default_rng(27)
    return {"forward": forward, "backward": backward, "inputs": {"W": r.normal(size=(6, 3))},
            "constants": {"ids": np.array([[0, 1], [1, 1], [5, 2], [4, 0]])}}


@_right("recommender, tape of closures")
def two_tower_cosine():
    def forward(W, a, b):
        # one tower shared by both sides
        tape = []
        ha, hb = a @ W, b @ W
        na = np.linalg.norm(ha, axis=1, keepdims=True)
        nb = np.linalg.norm(hb, axis=1, keepdims=True)
        ua, ub = ha / na, hb / nb
        tape.append(lambda g: (g[:, None] * ub, g[:, None] * ua))
        tape.append(lambda p: ((p[0] - ua * (ua * p[0]).sum(1, keepdims=True)) / na, (p[1] - ub * (ub * p[1]).sum(1, keepdims=True)) / nb))
        tape.append(lambda p: {"W": a.T @ p[0] + b.T @ p[1], "a": p[0] @ W.T, "b": p[1] @ W.T})
        return (ua * ub).sum(1), tape

    def backward(dy, tape):
        g = dy
        for step in tape:
            g = step(g)
        return g

    r = np.random.default_rng(28)
    return {"forward": forward, "backward": backward,
            "inputs": {"W": r.normal(size=(3, 4)), "a": r.normal(size=(4, 3)), "b": r.normal(size=(4, 3))}}


# ------------------------------------------------------------------ geometry

@_wrong("geometry / robotics", "q is normalised inside: project the gradient, dq = (g - qn*(qn.g))/|q|.", ("q",), ("missing-term",))
def quaternion_rotate():
    def forward(q, v):
        n = np.linalg.norm(q, axis=1, keepdims=True)
        qn = q / n
        w, u = qn[:, :1], qn[:, 1:]
        t = 2.0 * np.cross(u, v)
        return v + w * t + np.cross(u, t), (n, qn, v, t)

    def backward(dy, cache):
        n, qn, v, t = cache
        w, u = qn[:, :1], qn[:, 1:]
        dw = np.sum(dy * t, axis=1, keepdims=True)
        dt = w * dy + np.cross(dy, u)
        du = np.cross(t, dy) + 2.0 * np.cross(v, dt)
        dv = dy + 2.0 * np.cross(dt, u)
        dqn = np.concatenate([dw, du], axis=1)
        return {"q": dqn / n, "v": dv}

    r = np.random.default_rng(29)
    return {"forward": forward, "backward": backward, "inputs": {"q": r.normal(size=(4, 4)), "v": r.normal(size=(4, 3))}}


@_wrong("geometry / graphics", "Backward must turn the other way round (the transposed rotation): np.cross(dy, axis) instead of np.cross(axis, dy).",
        ("x",), ("transpose", "missing-term"))
def rodrigues():
    def forward(x, angle, axis):
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        kx = np.cross(axis, x)
        kk = (x @ axis)[:, None] * axis
        return c * x + s * kx + (1 - c) * kk, (x, c, s, kx, kk, axis)

    def backward(dy, cache):
        x, c, s, kx, kk, axis = cache
        dangle = np.sum(dy * (-s * x + c * kx + s * kk), axis=1)
        dx = c * dy + s * np.cross(axis, dy) + (1 - c) * (dy @ axis)[:, None] * axis
        return dx, dangle

    r = np.random.default_rng(30)
    return {"forward": forward, "backward": backward, "inputs": {"x": r.normal(size=(4, 3)), "angle": r.uniform(0.5, 2, 4)},
            "constants": {"axis": np.array([2.0, -1.0, 2.0]) / 3.0}}


@_wrong("geometry / meshes", "The half of the triangle's area is forgotten in backward.", ("a", "b", "c"), ("factor",))
def triangle_areas():
    def forward(a, b, c):
        u, v = b - a, c - a
        n = np.cross(u, v)
        twice = np.sqrt((n * n).sum(-1))
        return 0.5 * twice, (u, v, n, twice)

    def backward(dA, cache):
        u, v, n, twice = cache
        dn = (dA / twice)[:, None] * n
        du = np.cross(v, dn)
        dv = np.cross(dn, u)
        return {"a": -du - dv, "b": du, "c": dv}

    r = np.random.default_rng(31)
    return {"forward": forward, "backward": backward, "inputs": {k: r.normal(size=(4, 3)) for k in "abc"}}


@_wrong("geometry / multidimensional scaling", "On the diagonal the distance is 0 and diff/dist is 0/0; guard it (the slope there is to be 0).",
        ("X",), ("non-finite",))
def pairwise_distance():
    def forward(X, scale):
        diff = X[:, None, :] - X[None, :, :]
        dist = np.sqrt((diff ** 2).sum(-1))
        return scale * dist, (diff, dist, scale)

    def backward(dD, cache):
        diff, dist, scale = cache
        with np.errstate(invalid="ignore", divide="ignore"):
            g = (scale * dD / dist)[:, :, None] * diff
        return {"X": g.sum(1) - g.sum(0), "scale": np.array([(dD * dist).sum()])}

    r = np.random.default_rng(32)
    return {"forward": forward, "backward": backward, "inputs": {"X": r.normal(size=(4, 2)), "scale": np.array([1.3])}}


@_right("geometry / astronomy")
def kepler_equation():
    def forward(M, ecc):
        E = M + ecc * np.sin(M)
        for _ in range(50):
            E -= (E - ecc * np.sin(E) - M) / (1 - ecc * np.cos(E))
        return np.stack([np.cos(E) - ecc, np.sqrt(1 - ecc ** 2) * np.sin(E)], axis=-1), (E, ecc)

    def backward(dxy, cache):
        E, e = cache
        dx, dy = dxy[..., 0], dxy[..., 1]
        b = np.sqrt(1 - e ** 2)
        dE = -dx * np.sin(E) + dy * b * np.cos(E)
        dM = dE / (1 - e * np.cos(E))
        de = np.sum(-dx - dy * np.sin(E) * e / b + dM * np.sin(E))
        return {"M": dM, "ecc": np.full((1, 1), de)}

    r = np.random.default_rng(33)
    return {"forward": forward, "backward": backward, "inputs": {"M": r.uniform(0.2, 6.0, (1, 5)), "ecc": np.array([[0.4]])}}


# ------------------------------------------------------------------ quantisation

@_wrong("quantisation", "The clip levels are one a channel: sum over the rows (axis 0), not over the channels.", ("hi",), ("shape", "batch-sum"))
def pact_clip():
    def forward(x, lo, hi):
        return np.minimum(np.maximum(x, lo), hi), (x, lo, hi)

    def backward(dy, cache):
        x, lo, hi = cache
        below, above = x < lo, x > hi
        dx = dy * ~(below | above)
        return {"x": dx, "lo": (dy * below).sum(axis=0), "hi": (dy * above).sum(axis=1)}

    r = np.random.default_rng(34)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": 2 * r.normal(size=(4, 4)), "lo": -r.uniform(0.5, 1, 4), "hi": r.uniform(0.5, 1, 4)}}


@_wrong("quantisation", "The scale also divides inside the soft rounding: ds misses -sum(dy * slope * x/s).", ("s",), ("missing-term",))
def soft_round_quantiser():
    def forward(x, s):
        u = x / s
        q = u - np.sin(2 * np.pi * u) / (2 * np.pi)
        return s * q, (x, s, u, q)

    def backward(dy, cache):
        x, s, u, q = cache
        slope = 1 - np.cos(2 * np.pi * u)
        return {"x": dy * slope, "s": np.sum(dy * q, axis=0)}

    r = np.random.default_rng(35)
    return {"forward": forward, "backward": backward, "inputs": {"x": r.normal(size=(5, 3)), "s": r.uniform(0.4, 0.9, 3)}}


@_right("quantisation / vector quantiser")
def codebook_commitment():
    # nearest code by argmin (integer, no gradient), both sides of the squared distance are differentiated
    def forward(z, codes):
        d = ((z[:, None] - codes[None]) ** 2).sum(-1)
        k = d.argmin(1)
        return d[np.arange(len(z)), k].sum(), (z, codes, k)

    def backward(dl, cache):
        z, codes, k = cache
        g = 2 * dl * (z - codes[k])
        dcodes = np.zeros_like(codes)
        np.subtract.at(dcodes, k, g)
        return g, dcodes

    r = np.random.default_rng(36)
    z = np.array([[1.1, 0.1], [0.9, -0.2], [-1.0, 0.3], [1.2, 0.2]]) + 0.01 * r.normal(size=(4, 2))
    return {"forward": forward, "backward": backward,
            "inputs": {"z": z, "codes": np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 5.0]])}}      # the third code is never chosen


# ------------------------------------------------------------------ interpolation

@_wrong("interpolation / graphics", "The slopes to the two coordinates stand in each other's column: (d/du, d/dv) in the order of uv.", ("uv",), ("transpose",))
def bilinear_lookup():
    def forward(tex, uv):
        i = np.floor(uv).astype(int)
        f = uv - i
        u0, v0 = i[:, 0], i[:, 1]
        fu, fv = f[:, 0], f[:, 1]
        c = tex[u0, v0], tex[u0 + 1, v0], tex[u0, v0 + 1], tex[u0 + 1, v0 + 1]
        y = c[0] * (1 - fu) * (1 - fv) + c[1] * fu * (1 - fv) + c[2] * (1 - fu) * fv + c[3] * fu * fv
        return y, (tex.shape, u0, v0, fu, fv, c)

    def backward(dy, cache):
        shape, u0, v0, fu, fv, c = cache
        dtex = np.zeros(shape)
        np.add.at(dtex, (u0, v0), dy * (1 - fu) * (1 - fv))
        np.add.at(dtex, (u0 + 1, v0), dy * fu * (1 - fv))
        np.add.at(dtex, (u0, v0 + 1), dy * (1 - fu) * fv)
        np.add.at(dtex, (u0 + 1, v0 + 1), dy * fu * fv)
        du = dy * ((c[1] - c[0]) * (1 - fv) + (c[3] - c[2]) * fv)
        dv = dy * ((c[2] - c[0]) * (1 - fu) + (c[3] - c[1]) * fu)
        return {"tex": dtex, "uv": np.stack([dv, du], axis=1)}

    r = np.random.default_rng(37)
    return {"forward": forward, "backward": backward,
            "inputs": {"tex": r.normal(size=(4, 5)), "uv": r.integers(0, 3, (5, 2)) + r.uniform(0.2, 0.8, (5, 2))}}


@_wrong("interpolation", "u = (t - t0)/h, so the slope to t needs the 1/h of its own interval.", ("t",), ("elementwise-factor",))
def hermite_spline():
    def forward(t, val, tan, knots):
        j = np.clip(np.searchsorted(knots, t) - 1, 0, len(knots) - 2)
        h = knots[j + 1] - knots[j]
        u = (t - knots[j]) / h
        h00, h10 = (1 + 2 * u) * (1 - u) ** 2, u * (1 - u) ** 2
        h01, h11 = u * u * (3 - 2 * u), u * u * (u - 1)
        y = h00 * val[j] + h10 * h * tan[j] + h01 * val[j + 1] + h11 * h * tan[j + 1]
        return y, (j, h, u, val, tan, (h00, h10, h01, h11))

    def backward(dy, cache):
        j, h, u, val, tan, (h00, h10, h01, h11) = cache
        slope = (6 * u * u - 6 * u) * (val[j] - val[j + 1]) + h * ((3 * u * u - 4 * u + 1) * tan[j] + (3 * u * u - 2 * u) * tan[j + 1])
        dval, dtan = np.zeros_like(val), np.zeros_like(tan)
        np.add.at(dval, j, dy * h00)
        np.add.at(dval, j + 1, dy * h01)
        np.add.at(dtan, j, dy * h * h10)
        np.add.at(dtan, j + 1, dy * h * h11)
        return {"t": dy * slope, "val": dval, "tan": dtan}

    r = np.random.default_rng(38)
    return {"forward": forward, "backward": backward,
            "inputs": {"t": np.array([0.2, 0.9, 1.7, 3.1, 0.35]), "val": r.normal(size=4), "tan": r.normal(size=4)},
            "constants": {"knots": np.array([0.0, 0.5, 2.0, 4.0])}}


@_right("interpolation")
def clamped_linear_interp():
    # np.interp forward; queries outside the table have slope zero
    def forward(q, table, grid):
        return np.interp(q, grid, table), (q, table, grid)

    def backward(dy, cache):
        q, table, grid = cache
        inside = (q > grid[0]) & (q < grid[-1])
        qc = np.clip(q, grid[0], grid[-1])
        j = np.minimum(np.searchsorted(grid, qc, side="right") - 1, len(grid) - 2)
        h = grid[j + 1] - grid[j]
        f = (qc - grid[j]) / h
        dtable = np.bincount(j, weights=dy * (1 - f), minlength=len(grid)) + np.bincount(j + 1, weights=dy * f, minlength=len(grid))
        return {"table": dtable, "q": np.where(inside, dy * np.diff(table)[j] / h, 0.0)}

    r = np.random.default_rng(39)
    return {"forward": forward, "backward": backward,
            "inputs": {"q": np.array([-5.0, 0.4, 1.3, 2.75, 99.0]), "table": r.normal(size=5)}, "constants": {"grid": np.array([0, 1, 2, 3, 5])}}


# ------------------------------------------------------------------ information theory

@_wrong("information theory", "With the softmax behind it the gradient is -p*(log p + H), not -p*(log p + 1).", ("z",), ("missing-term", "elementwise-factor"))
def softmax_entropy():
    def forward(z):
        s = z - z.max(axis=1, keepdims=True)
        logp = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
        p = np.exp(logp)
        H = -(p * logp).sum(axis=1)
        return H, (p, logp, H)

    def backward(dH, cache):
        p, logp, H = cache
        return -dH[:, None] * p * (logp + 1.0)

    r = np.random.default_rng(40)
    return {"forward": forward, "backward": backward, "inputs": {"z": 1.5 * r.normal(size=(4, 6))}}


@_wrong("information theory", "The exponent 1-alpha is not brought down in dq: off by that constant.", ("q",), ("factor",))
def renyi_divergence():
    def forward(p, q, alpha):
        S = np.sum(p ** alpha * q ** (1 - alpha), axis=-1)
        return np.log(S) / (alpha - 1), (p, q, alpha, S)

    def backward(dy, cache):
        p, q, alpha, S = cache
        g = (dy / ((alpha - 1) * S))[:, None]
        dp = g * alpha * p ** (alpha - 1) * q ** (1 - alpha)
        dq = g * p ** alpha * q ** (-alpha)
        return dp, dq

    r = np.random.default_rng(41)
    return {"forward": forward, "backward": backward,
            "inputs": {"p": r.dirichlet(2 * np.ones(4), 4) + 0.02, "q": r.dirichlet(2 * np.ones(4), 4) + 0.02}, "constants": {"alpha": 0.6}}


@_wrong("information theory / contrastive learning", "Only the row-wise half of the symmetric loss is taken back to the similarities; the column softmax is missing.",
        ("u", "v"), ("missing-term",))
def symmetric_infonce():
    def forward(u, v):
        sim = u @ v.T / 0.5
        n = len(sim)
        rows = special.softmax(sim, axis=1)
        cols = special.softmax(sim, axis=0)
        d = np.arange(n)
        loss = -0.5 * np.mean(np.log(rows[d, d]) + np.log(cols[d, d]))
        return loss, (u, v, rows, cols)

    def backward(dloss, cache):
        u, v, rows, cols = cache
        n = len(rows)
        dsim = 0.5 * dloss * (rows - np.eye(n)) / n
        return {"u": dsim @ v / 0.5, "v": dsim.T @ u / 0.5}

    r = np.random.default_rng(42)
    return {"forward": forward, "backward": backward, "inputs": {"u": r.normal(size=(4, 3)), "v": r.normal(size=(4, 3))}}


@_right("information theory")
def mutual_information_table():
    def forward(counts):
        n = counts.sum()
        P = counts / n
        px, py = P.sum(1, keepdims=True), P.sum(0, keepdims=True)
        L = np.log(P) - np.log(px) - np.log(py)
        mi = float((P * L).sum())
        return mi, (n, L, mi)

    def backward(dmi, cache):
        # the -1 of the two marginals and the +1 of the joint leave a constant, which normalising takes out
        n, L, mi = cache
        return dmi * (L - mi) / n

    r = np.random.default_rng(43)
    return {"forward": forward, "backward": backward, "inputs": {"counts": r.uniform(1, 9, (3, 4))}}


# ------------------------------------------------------------------ sequence labelling

@_wrong("sequence labelling", "The pair marginals are summed with the tags exchanged: 'bij->ij', from tag i to tag j.", ("trans",), ("transpose",))
def crf_log_partition():
    def forward(emit, trans):
        B, T, K = emit.shape
        alpha = [emit[:, 0]]
        for t in range(1, T):
            alpha.append(special.logsumexp(alpha[-1][:, :, None] + trans, axis=1) + emit[:, t])
        return special.logsumexp(alpha[-1], axis=1), (emit, trans, alpha)

    def backward(dlogZ, cache):
        emit, trans, alpha = cache
        B, T, K = emit.shape
        logZ = special.logsumexp(alpha[-1], axis=1)
        beta = np.zeros((B, K))
        demit = np.zeros_like(emit)
        dtrans = np.zeros_like(trans)
        for t in reversed(range(T)):
            demit[:, t] = dlogZ[:, None] * np.exp(alpha[t] + beta - logZ[:, None])
            if t:
                right = emit[:, t] + beta
                pair = np.exp(alpha[t - 1][:, :, None] + trans + right[:, None, :] - logZ[:, None, None])
                dtrans += np.einsum("b,bij->ji", dlogZ, pair)
                beta = special.logsumexp(trans + right[:, None, :], axis=2)
        return {"emit": demit, "trans": dtrans}

    r = np.random.default_rng(44)
    return {"forward": forward, "backward": backward, "inputs": {"emit": r.normal(size=(3, 4, 3)), "trans": np.array([[-0.5, 1.2, -0.8], [0.3, 0.1, 1.4], [0.9, -1.1, -0.2]])}}


@_wrong("sequence labelling", "demit[mask][...] += writes into a copy, so nothing arrives; index once: demit[b, t, tag] += ...", ("emit",), ("zero",))
def gold_path_score():
    def forward(emit, trans, tags, lengths):
        B, T, K = emit.shape
        mask = np.arange(T)[None] < lengths[:, None]
        e = np.take_along_axis(emit, tags[:, :, None], axis=2)[:, :, 0]
        tr = trans[tags[:, :-1], tags[:, 1:]]
        return (e * mask).sum(1) + (tr * mask[:, 1:]).sum(1), (emit.shape, trans.shape, tags, mask)

    def backward(dscore, cache):
        eshape, tshape, tags, mask = cache
        g = np.broadcast_to(dscore[:, None], mask.shape)
        demit = np.zeros(eshape)
        demit[mask][np.arange(mask.sum()), tags[mask]] += g[mask]
        dtrans = np.zeros(tshape)
        np.add.at(dtrans, (tags[:, :-1], tags[:, 1:]), g[:, 1:] * mask[:, 1:])
        return {"emit": demit, "trans": dtrans}

    r = np.random.default_rng(45)
    return {"forward": forward, "backward": backward, "inputs": {"emit": r.normal(size=(3, 4, 3)), "trans": r.normal(size=(3, 3))},
            "constants": {"tags": r.integers(0, 3, (3, 4)), "lengths": np.array([4, 2, 3])}}


@_wrong("sequence labelling / nlp", "The forward divides by the number of real tokens, the backward by all B*T: off by their ratio.",
        ("logits",), ("factor",))
def masked_token_loss():
    PAD = -1

    def forward(logits, labels):
        keep = labels != PAD
        logp = special.log_softmax(logits, axis=-1)
        safe = np.where(keep, labels, 0)
        tok = -np.take_along_axis(logp, safe[..., None], -1)[..., 0]
        return (tok * keep).sum() / keep.sum(), (logp, safe, keep)

    def backward(dloss, cache):
        logp, safe, keep = cache
        g = np.exp(logp)
        b, t = np.indices(safe.shape)
        g[b, t, safe] -= 1.0
        return dloss * g * keep[..., None] / keep.size

    r = np.random.default_rng(46)
    return {"forward": forward, "backward": backward, "inputs": {"logits": r.normal(size=(3, 4, 3))},
            "constants": {"labels": np.array([[0, 2, 1, -1], [1, 1, -1, -1], [2, 0, 0, 1]])}}


@_right("sequence labelling")
def masked_attention_pool():
    # additive -inf mask as constant; masked places get exact zeros
    def forward(h, w, mask):
        s = np.einsum("btd,d->bt", h, w) + mask
        a = special.softmax(s, axis=1)
        return np.einsum("bt,btd->bd", a, h), (h, w, a)

    def backward(dy, cache):
        h, w, a = cache
        da = np.einsum("bd,btd->bt", dy, h)
        ds = a * (da - np.einsum("bt,bt->b", a, da)[:, None])
        return {"h": a[:, :, None] * dy[:, None] + ds[..., None] * w, "w": np.tensordot(ds, h, axes=2)}

    r = np.random.default_rng(47)
    mask = np.zeros((3, 4))
    mask[0, 3] = mask[2, 1:] = -np.inf
    return {"forward": forward, "backward": backward, "inputs": {"h": r.normal(size=(3, 4, 3)), "w": r.normal(size=3)}, "constants": {"mask": mask}}


# ------------------------------------------------------------------ calibration

@_wrong("calibration", "Brier is squared error of p, not cross-entropy: the sigmoid slope p*(1-p) is missing.", ("z", "a", "b"), ("elementwise-factor",))
def platt_brier():
    def forward(z, a, b, y):
        p = special.expit(a * z + b)
        return np.mean((p - y) ** 2), (z, a, p, y)

    def backward(dl, cache):
        z, a, p, y = cache
        du = 2.0 * dl * (p - y) / len(y)
        return {"z": a * du, "a": np.sum(du * z, keepdims=True), "b": np.sum(du, keepdims=True)}

    r = np.random.default_rng(48)
    return {"forward": forward, "backward": backward,
            "inputs": {"z": r.normal(size=6), "a": np.array([1.4]), "b": np.array([-0.3])}, "constants": {"y": np.array([1, 0, 1, 1, 0, 0])}}


@_wrong("calibration", "One temperature serves all rows: dT has to be summed over the batch to shape (1,).", ("T",), ("shape", "batch-sum"))
def temperature_nll():
    def forward(logits, T, labels):
        z = logits / T
        logp = special.log_softmax(z, axis=1)
        return -logp[np.arange(len(labels)), labels], (logits, T, labels, logp)

    def backward(dnll, cache):
        logits, T, labels, logp = cache
        dz = np.exp(logp)
        dz[np.arange(len(labels)), labels] -= 1
        dz *= dnll[:, None]
        dT = -(dz * logits / T ** 2).sum(axis=1)
        return dz / T, dT

    r = np.random.default_rng(49)
    return {"forward": forward, "backward": backward, "inputs": {"logits": r.normal(size=(5, 3)), "T": np.array([1.7])},
            "constants": {"labels": np.array([0, 2, 1, 1, 0])}}


@_wrong("calibration / detection", "The modulating weight (1-p)^gamma is treated as a constant; its own slope is missing.", ("z",), ("missing-term", "elementwise-factor"))
def focal_loss():
    def forward(z, y, gamma=2.0):
        s = np.where(y == 1, 1.0, -1.0)
        pt = special.expit(s * z)
        logpt = -np.logaddexp(0.0, -s * z)
        return -((1 - pt) ** gamma * logpt), (s, pt, logpt, gamma)

    def backward(dl, cache):
        s, pt, logpt, gamma = cache
        return -dl * (1 - pt) ** gamma * (1 - pt) * s

    r = np.random.default_rng(50)
    return {"forward": forward, "backward": backward, "inputs": {"z": r.normal(size=(4, 3))},
            "constants": {"y": np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]])}}


@_right("calibration")
def label_smoothed_xent_huge_logits():
    def forward(logits, onehot_ids, smooth):
        B, K = logits.shape
        shift = logits - logits.max(1, keepdims=True)
        lse = np.log(np.exp(shift).sum(1, keepdims=True))
        logp = shift - lse
        t = np.full((B, K), smooth / K)
        t[np.arange(B), onehot_ids] += 1 - smooth
        return -(t * logp).sum() / B, (logp, t)

    def backward(g, cache):
        logp, t = cache
        out = np.exp(logp)
        out -= t
        out *= g / len(t)
        return (out,)

    r = np.random.default_rng(51)
    z = r.normal(size=(4, 4)) + np.array([[0.0], [1e3], [-1e3], [50.0]])
    return {"forward": forward, "backward": backward, "inputs": {"logits": z},
            "constants": {"onehot_ids": np.array([3, 0, 0, 2], dtype=np.int8), "smooth": 0.1}}


# ------------------------------------------------------------------ sorting

@_wrong("sorting / order statistics", "The weights must be scattered back (dx[order] = w), not gathered with the same permutation.", ("x",), ("transpose",))
def ordered_weighted_average():
    def forward(x, w):
        order = np.argsort(-x, axis=1)
        xs = np.take_along_axis(x, order, axis=1)
        return xs @ w, (order, xs, w)

    def backward(dy, cache):
        order, xs, w = cache
        dxs = np.outer(dy, w)
        dx = np.take_along_axis(dxs, order, axis=1)
        return {"x": dx, "w": dy @ xs}

    x = np.array([[0.3, 2.0, -1.0, 1.1, 0.7], [1.5, -0.4, 0.2, 3.0, 0.9], [-2.0, 1.0, 0.1, 0.6, 2.2], [0.5, 0.9, 1.6, -0.7, -0.1]])
    return {"forward": forward, "backward": backward, "inputs": {"x": x, "w": np.array([0.5, -0.2, 0.9, 0.1, -0.8])}}


@_wrong("sorting / differentiable ranking", "Each |s_i - s_j| depends on both scores; only the first one's share is taken back.", ("s",), ("missing-term",))
def neural_sort_top():
    def forward(s, tau):
        n = s.shape[1]
        diff = s[:, :, None] - s[:, None, :]
        A = np.abs(diff).sum(2)
        coef = n + 1 - 2 * np.arange(1, n + 1)
        P = special.softmax((coef[None, :, None] * s[:, None, :] - A[:, None, :]) / tau, axis=2)
        return P, (diff, coef, P, tau)

    def backward(dP, cache):
        diff, coef, P, tau = cache
        dL = P * (dP - (P * dP).sum(2, keepdims=True)) / tau
        ds = np.einsum("k,bkj->bj", coef, dL)
        dA = -dL.sum(1)
        ds += dA * np.sign(diff).sum(2)
        return ds

    r = np.random.default_rng(52)
    return {"forward": forward, "backward": backward, "inputs": {"s": 1.5 * r.normal(size=(3, 4))}, "constants": {"tau": 2.0}}


@_right("sorting / order statistics")
def trimmed_mean_pool():
    def forward(x, k):
        idx = np.argpartition(x, (k, x.shape[1] - k - 1), axis=1)[:, k:x.shape[1] - k]
        return np.take_along_axis(x, idx, 1).mean(1, keepdims=True), (x.shape, idx)

    def backward(dy, cache):
        shape, idx = cache
        dx = np.zeros(shape, order="F")
        np.put_along_axis(dx, idx, np.broadcast_to(dy / idx.shape[1], idx.shape), axis=1)
        return dx

    r = np.random.default_rng(53)
    return {"forward": forward, "backward": backward, "inputs": {"x": r.normal(size=(4, 7))}, "constants": {"k": 2}}


# ------------------------------------------------------------------ kernels

@_wrong("kernels / gaussian processes", "X stands on both sides of the Gram matrix; the second argument's share is missing.", ("X",), ("missing-term",))
def rbf_gram():
    def forward(X, log_ell):
        ell2 = np.exp(2 * log_ell)
        D = X[:, None] - X[None]
        sq = (D ** 2 / ell2).sum(-1)
        K = np.exp(-0.5 * sq)
        return K, (D, ell2, K)

    def backward(dK, cache):
        D, ell2, K = cache
        G = dK * K
        dX = -(G[:, :, None] * D / ell2).sum(axis=1)
        dlog_ell = (G[:, :, None] * D ** 2 / ell2).sum(axis=(0, 1))
        return {"X": dX, "log_ell": dlog_ell}

    r = np.random.default_rng(54)
    return {"forward": forward, "backward": backward, "inputs": {"X": r.normal(size=(5, 2)), "log_ell": 0.3 * r.normal(size=2)}}


@_right("kernels / gaussian processes")
def gp_marginal_likelihood():
    def forward(A, y):
        # A need not be symmetric as far as the formulas go
        K = A @ A.T + 0.5 * np.eye(len(A))
        Lc = np.linalg.cholesky(K)
        alpha = np.linalg.solve(Lc.T, np.linalg.solve(Lc, y))
        return 0.5 * float(y @ alpha) + np.log(np.diag(Lc)).sum(), (A, K, alpha)

    def backward(g, cache):
        A, K, alpha = cache
        dK = 0.5 * g * (np.linalg.inv(K) - np.outer(alpha, alpha))
        return {"A": 2 * dK @ A, "y": g * alpha}

    r = np.random.default_rng(55)
    return {"forward": forward, "backward": backward, "inputs": {"A": r.normal(size=(4, 2)), "y": r.normal(size=4)}}


@_right("kernels / two-sample tests")
def mmd_rational_quadratic():
    def forward(X, Y, c):
        def k(P, Q):
            return 1.0 / (1.0 + ((P[:, None] - Q[None]) ** 2).sum(-1) / c)
        n, m = len(X), len(Y)
        kxx, kyy, kxy = k(X, X), k(Y, Y), k(X, Y)
        val = (kxx.sum() - n) / (n * (n - 1)) + (kyy.sum() - m) / (m * (m - 1)) - 2 * kxy.mean()
        return val, (X, Y, c, kxx, kyy, kxy)

    def backward(g, cache):
        X, Y, c, kxx, kyy, kxy = cache
        n, m = len(X), len(Y)

        def left(P, Q, k, w):
            return -2.0 * w / c * np.einsum("ij,ijd->id", k ** 2, P[:, None] - Q[None])
        dX = left(X, X, kxx, 2 * g / (n * (n - 1))) + left(X, Y, kxy, -2 * g / (n * m))
        dY = left(Y, Y, kyy, 2 * g / (m * (m - 1))) + left(Y, X, kxy.T, -2 * g / (n * m))
        return dX, dY

    r = np.random.default_rng(56)
    return {"forward": forward, "backward": backward,
            "inputs": {"X": r.normal(size=(4, 2)), "Y": 0.5 + r.normal(size=(5, 2))}, "constants": {"c": 1.5}}


# ------------------------------------------------------------------ layers, activations, normalisations

@_wrong("layer classes", "The derivative of the cubic inside is 3*0.044715*x^2; the 3 is missing.", ("x",), ("elementwise-factor", "missing-term"))
def gelu_tanh():
    class GELU:
        c = np.sqrt(2 / np.pi)

        def forward(self, x):
            self.x = x
            self.t = np.tanh(self.c * (x + 0.044715 * x ** 3))
            return 0.5 * x * (1 + self.t)

        def backward(self, dout):
            x, t = self.x, self.t
            inner = self.c * (1 + 0.044715 * x ** 2)
            return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * inner)

    def forward(x):
        layer = GELU()
        return layer.forward(x), layer

    r = np.random.default_rng(57)
    return {"forward": forward, "backward": lambda dy, layer: layer.backward(dy), "inputs": {"x": 2 * r.normal(size=(4, 5))}}


@_wrong("port of a framework", "The variance is the unbiased one: the last term is divided by N-1, not by N.", ("x",), ("missing-term", "unknown"))
def batchnorm_unbiased():
    def forward(x, weight, bias, eps=1e-5):
        mu = x.mean(0)
        var = x.var(0, ddof=1)
        inv = 1 / np.sqrt(var + eps)
        xhat = (x - mu) * inv
        return weight * xhat + bias, (xhat, inv, weight)

    def backward(dy, saved):
        xhat, inv, weight = saved
        dxhat = dy * weight
        dx = inv * (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0))
        return dx, (dy * xhat).sum(0), dy.sum(0)

    r = np.random.default_rng(58)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": r.normal(size=(5, 3)), "weight": r.uniform(0.5, 1.5, 3), "bias": r.normal(size=3)}}


@_wrong("notebook", "x *= gain writes into the caller's array, and the cache then holds the scaled x: dgain is too large by gain. Use y = x * gain.",
        ("gain",), ("mutates-input", "elementwise-factor"))
def channel_gain():
    def forward(x, gain, shift):
        cache = (x, gain)
        x *= gain
        return x + shift, cache

    def backward(dy, cache):
        x, gain = cache
        return {"x": dy * gain, "gain": (dy * x).sum(0), "shift": dy.sum(0)}

    r = np.random.default_rng(59)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": r.normal(size=(4, 3)), "gain": np.array([1.8, 0.4, 2.5]), "shift": r.normal(size=3)}}


@_wrong("functional with caches", "dout *= gate overwrites the caller's gradient, and the skip path then gets the gated one. Use a new array.",
        ("skip",), ("mutates-input", "elementwise-factor"))
def gated_residual():
    def forward(h, g, skip):
        gate = special.expit(g)
        return gate * h + skip, {"h": h, "gate": gate}

    def backward(dout, cache):
        h, gate = cache["h"], cache["gate"]
        grads = {"g": dout * h * gate * (1 - gate)}
        dout *= gate
        grads["h"] = dout
        grads["skip"] = dout.copy()
        return grads

    r = np.random.default_rng(60)
    return {"forward": forward, "backward": backward, "inputs": {k: r.normal(size=(4, 3)) for k in ("h", "g", "skip")}}


@_wrong("psychometrics", "The item difficulty is inside the bracket: db needs the discrimination a.", ("b",), ("elementwise-factor",))
def irt_two_parameter():
    def forward(theta, a, b):
        p = special.expit(a * (theta[:, None] - b))
        return p, (theta, a, b, p)

    def backward(dp, cache):
        theta, a, b, p = cache
        du = dp * p * (1 - p)
        return {"theta": du @ a, "a": (du * (theta[:, None] - b)).sum(0), "b": -du.sum(0)}

    r = np.random.default_rng(61)
    return {"forward": forward, "backward": backward,
            "inputs": {"theta": r.normal(size=5), "a": np.array([0.6, 1.5, 2.2]), "b": r.normal(size=3)}}


@_wrong("medical imaging", "The denominator holds p as well; its share of the quotient rule is missing.", ("p",), ("missing-term",))
def soft_dice():
    def forward(p, mask, eps=1.0):
        inter = (p * mask).sum(1)
        den = p.sum(1) + mask.sum(1) + eps
        return 1 - (2 * inter + eps) / den, (p, mask, inter, den, eps)

    def backward(dl, cache):
        p, mask, inter, den, eps = cache
        return -dl[:, None] * (2 * mask) / den[:, None]

    r = np.random.default_rng(62)
    return {"forward": forward, "backward": backward, "inputs": {"p": r.uniform(0.05, 0.95, (4, 6))},
            "constants": {"mask": (r.random((4, 6)) < 0.6).astype(int)}}


@_wrong("class assignment, one module", "The column of the right class is to hold minus the number of violated margins, not -1.",
        ("scores",), ("elementwise-factor", "missing-term"), check="file")
def svm_assignment_file():
    return {"source": '''\
"""Homework 1: linear classifiers."""
import numpy as np

rng = np.random.default_rng(0)


def affine_forward(x, w, b):
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def multiclass_hinge_forward(scores, y):
    n = scores.shape[0]
    correct = scores[np.arange(n), y][:, None]
    margins = np.maximum(0, scores - correct + 1.0)
    margins[np.arange(n), y] = 0
    return margins.sum() / n, (margins, y)


def multiclass_hinge_backward(dout, cache):
    margins, y = cache
    n = margins.shape[0]
    dscores = (margins > 0).astype(float)
    dscores[np.arange(n), y] = -1
    return dout * dscores / n


examples = {
    "affine": {"x": rng.normal(size=(4, 3)), "w": rng.normal(size=(3, 5)), "b": rng.normal(size=5)},
    "multiclass_hinge": {"scores": 0.5 * rng.normal(size=(4, 5)), "y": np.array([0, 3, 3, 1])},
}
'''}


@_wrong("layer classes, one module", "The kernel's gradient is stored back to front: tap k belongs to the input shifted by k, not by K-1-k.",
        ("W",), ("transpose",), check="file")
def conv1d_module_file():
    return {"source": '''\
import numpy as np


class LeakyReLU:
    def __init__(self, slope=0.1):
        self.slope = slope

    def forward(self, x):
        self.pos = x > 0
        return np.where(self.pos, x, self.slope * x)

    def backward(self, dout):
        return np.where(self.pos, dout, self.slope * dout)


class Conv1D:
    """x (B, T) -> (B, T - K + 1), one channel."""

    def __init__(self, K=3, seed=0):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(size=K)
        self.b = rng.normal(size=1)

    def forward(self, x):
        self.x = x
        K = len(self.W)
        n = x.shape[1] - K + 1
        out = np.zeros((x.shape[0], n))
        for k in range(K):
            out += self.W[k] * x[:, k:k + n]
        return out + self.b

    def backward(self, dout):
        K = len(self.W)
        n = dout.shape[1]
        self.dW = np.zeros(K)
        dx = np.zeros_like(self.x)
        for k in range(K):
            self.dW[K - 1 - k] = np.sum(dout * self.x[:, k:k + n])
            dx[:, k:k + n] += self.W[k] * dout
        self.db = np.array([dout.sum()])
        return dx


examples = {
    "LeakyReLU": {"init": {"slope": 0.2}, "x": np.random.default_rng(1).normal(size=(3, 4))},
    "Conv1D": {"init": {"K": 4}, "x": np.random.default_rng(2).normal(size=(3, 7))},
}
'''}


@_right("student module, functions and a class", check="file")
def small_module_file():
    return {"source": '''\
import numpy as np


def softplus_forward(x):
    return np.logaddexp(0.0, x), x


def softplus_backward(dout, x):
    return dout * 0.5 * (1.0 + np.tanh(0.5 * x))


def cosine_forward(a, b):
    na = np.sqrt((a * a).sum(1))
    nb = np.sqrt((b * b).sum(1))
    c = (a * b).sum(1) / (na * nb)
    return c, (a, b, na, nb, c)


def cosine_backward(dc, cache):
    a, b, na, nb, c = cache
    da = (dc / na)[:, None] * (b / nb[:, None] - c[:, None] * a / na[:, None])
    db = (dc / nb)[:, None] * (a / na[:, None] - c[:, None] * b / nb[:, None])
    return da, db


class Scale:
    def __init__(self, n=3):
        self.params = {"g": np.linspace(0.5, 1.5, n)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x * np.exp(self.params["g"])

    def backward(self, dout):
        s = np.exp(self.params["g"])
        self.grads["g"] = np.einsum("bn,bn,n->n", dout, self.x, s)
        return dout * s


examples = {
    "softplus": {"x": np.array([[-700.0, -1.0, 0.0], [0.5, 30.0, 700.0]])},
    "cosine": {"a": np.random.default_rng(3).normal(size=(4, 3)), "b": np.random.default_rng(4).normal(size=(4, 3))},
    "Scale": {"init": {"n": 3}, "x": np.random.default_rng(5).normal(size=(4, 3))},
}
'''}


@_right("layer classes with preallocated buffers")
def tanh_in_place_buffers():
    class Tanh:
        def __init__(self, shape):
            self.out = np.empty(shape)
            self.g = np.empty(shape)

        def forward(self, x):
            np.tanh(x, out=self.out)
            return self.out.copy()

        def backward(self, dy):
            np.multiply(self.out, self.out, out=self.g)
            np.subtract(1.0, self.g, out=self.g)
            self.g *= dy
            return self.g.copy()

    layer = Tanh((4, 3))
    r = np.random.default_rng(63)
    return {"forward": lambda x: (layer.forward(x), layer), "backward": lambda dy, l: l.backward(dy), "inputs": {"x": r.normal(size=(4, 3))}}


@_right("features-first lecture code")
def tied_autoencoder_columns():
    def forward(W, b, c, X):
        H = np.tanh(W @ X + b)
        R = W.T @ H + c - X
        return 0.5 * np.sum(R * R) / X.shape[1], (W, X, H, R)

    def backward(d, cache):
        W, X, H, R = cache
        dR = d * R / X.shape[1]
        dA = (W @ dR) * (1 - H * H)
        return {"W": H @ dR.T + dA @ X.T, "b": dA.sum(1, keepdims=True), "c": dR.sum(1, keepdims=True), "X": W.T @ dA - dR}

    r = np.random.default_rng(64)
    return {"forward": forward, "backward": backward,
            "inputs": {"W": r.normal(size=(2, 4)), "b": r.normal(size=(2, 1)), "c": r.normal(size=(4, 1)), "X": r.normal(size=(4, 5))}}


@_right("sparse coding")
def soft_threshold():
    def forward(x, lam):
        return np.sign(x) * np.maximum(np.abs(x) - lam, 0.0), (x, lam)

    def backward(dy, cache):
        x, lam = cache
        act = np.abs(x) > lam
        dlam = -np.where(act, np.sign(x) * dy, 0).sum(0)
        return {"lam": dlam, "x": dy * act}

    x = np.array([[1.3, -0.2, 0.1], [-2.0, 0.6, -0.3], [0.4, -0.9, 0.05], [0.0, 2.2, -0.12]])
    return {"forward": forward, "backward": backward, "inputs": {"x": x, "lam": np.array([0.5, 0.4, 0.6])}}   # third channel all off


@_right("research code")
def sparsemax_rows():
    def forward(z):
        zs = -np.sort(-z, axis=1)
        cs = np.cumsum(zs, axis=1) - 1
        k = (zs * np.arange(1, z.shape[1] + 1) > cs).sum(1)
        tau = cs[np.arange(len(z)), k - 1] / k
        p = np.maximum(z - tau[:, None], 0)
        return p, p > 0

    def backward(dp, supp):
        v = (dp * supp).sum(1, keepdims=True) / supp.sum(1, keepdims=True)
        return supp * (dp - v)

    z = np.array([[0.3, 0.9, -0.4, 0.5], [3.0, 0.1, 0.2, -1.0], [0.1, 0.2, 0.15, 0.12]])
    return {"forward": forward, "backward": backward, "inputs": {"z": z}}


@_right("port of a framework")
def layernorm_tiny_inputs():
    def forward(x, g, b, eps=1e-12):
        xc = x - x.mean(-1, keepdims=True)
        rstd = (np.mean(xc * xc, -1, keepdims=True) + eps) ** -0.5
        return xc * rstd * g + b, (xc * rstd, rstd, g)

    def backward(dy, cache):
        xhat, rstd, g = cache
        n = xhat.shape[-1]
        d = dy * g
        J = np.eye(n) - 1.0 / n - np.einsum("bi,bj->bij", xhat, xhat) / n
        return np.einsum("bij,bj->bi", J, d) * rstd, np.sum(dy * xhat, 0), dy.sum(0)

    r = np.random.default_rng(65)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": 1e-2 * r.normal(size=(4, 5)), "g": r.uniform(0.5, 2, 5), "b": r.normal(size=5)}}


@_right("bayesian nonparametrics")
def stick_breaking():
    def forward(v):
        u = special.expit(v)
        rest = np.cumprod(1 - u, axis=1)
        head = np.concatenate([np.ones((len(v), 1)), rest[:, :-1]], axis=1)
        pi = np.concatenate([u * head, rest[:, -1:]], axis=1)
        return pi, (u, pi)

    def backward(dpi, cache):
        u, pi = cache
        w = dpi * pi
        later = np.flip(np.cumsum(np.flip(w, 1), axis=1), 1)[:, 1:]
        # d log u / dv = 1-u,  d log(1-u) / dv = -u
        return w[:, :-1] * (1 - u) - later * u

    r = np.random.default_rng(66)
    return {"forward": forward, "backward": backward, "inputs": {"v": r.normal(size=(4, 4))}}


@_right("optimal transport")
def sinkhorn_unrolled():
    def forward(C, iters, reg):
        K = np.exp(-C / reg)
        n, m = C.shape
        v = np.ones(m)
        hist = []
        for _ in range(iters):
            u = (1 / n) / (K @ v)
            v_new = (1 / m) / (K.T @ u)
            hist.append((u, v, v_new))
            v = v_new
        return u[:, None] * K * v[None], (K, hist, reg, n, m)

    def backward(dP, cache):
        K, hist, reg, n, m = cache
        u, _, v = hist[-1]
        dK = dP * np.outer(u, v)
        du = (dP * K) @ v
        dv = u @ (dP * K)
        for u, v_old, v_new in hist[::-1]:
            s = -dv * v_new ** 2 * m
            dK += np.outer(u, s)
            du = du + K @ s
            r = -du * u ** 2 * n
            dK += np.outer(r, v_old)
            dv = K.T @ r
            du = np.zeros(n)
        return -dK * K / reg

    g = np.random.default_rng(67)
    return {"forward": forward, "backward": backward, "inputs": {"C": g.uniform(0, 2, (4, 3))}, "constants": {"iters": 3, "reg": 0.7}}

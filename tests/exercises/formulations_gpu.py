"""Correct formulations of the blanks on GPUs, and answers that are right on NumPy alone, with what they are told."""

import math

import numpy as np

from scratchvae import get_xp, to_numpy
from scratchvae.backend import as_backend


def stable(x):
    xp = get_xp(x)
    largest = x.max(axis=-1, keepdims=True)
    return (largest + xp.log(xp.exp(x - largest).mean(axis=-1, keepdims=True)))[..., 0]


def by_columns(x):
    total = 0
    for k in range(x.shape[1]):
        total = total + get_xp(x).exp(x[:, k])
    return get_xp(x).log(total / x.shape[1])


def pairwise(x):
    xp, result = get_xp(x), x[:, 0]
    for k in range(1, x.shape[1]):
        result = xp.logaddexp(result, x[:, k])
    return result - math.log(x.shape[1])


def in_a_loop(grads):
    total = 0.0
    for g in grads.values():
        total = total + (g**2).sum()
    return math.sqrt(total)


def root_on_the_device(grads):
    g = next(iter(grads.values()))
    return float(get_xp(g).sqrt(sum(get_xp(g).square(g).sum() for g in grads.values())))


def packed(grads):
    xp = get_xp(next(iter(grads.values())))
    return np.linalg.norm(to_numpy(xp.concatenate([g.ravel() for g in grads.values()])))


def norm_of_norms(grads):
    xp = get_xp(next(iter(grads.values())))
    return float(xp.linalg.norm(xp.stack([xp.linalg.norm(g) for g in grads.values()])))


def warmed_twice(machine, n):
    machine.run(2)
    machine.wait()
    began = machine.clock()
    machine.run(n)
    machine.wait()
    return (machine.clock() - began) / n


def one_by_one(machine, n):
    machine.run(1)
    machine.wait()
    began = machine.clock()
    for _ in range(n):
        machine.run(1)
    machine.wait()
    ended = machine.clock()
    return (ended - began) / n


def each_measured(machine, n):
    machine.run(1)
    machine.wait()
    readings = [machine.clock()]
    for _ in range(n - 1):
        machine.run(1)
    machine.run(1)
    machine.wait()
    readings.append(machine.clock())
    return readings[1] / n - readings[0] / n


def waited_twice(machine, n):
    machine.run(1)
    machine.wait()
    machine.wait()
    elapsed = -machine.clock()
    machine.run(n)
    machine.wait()
    machine.wait()
    elapsed += machine.clock()
    return np.float64(elapsed) / n


def waits_in_between_before(machine, n):
    for _ in range(3):
        machine.run(1)
        machine.wait()
    t0 = machine.clock()
    machine.run(n)
    machine.wait()
    return np.diff([t0, machine.clock()])[0] / n


FORMULATIONS = {
    "gpu.log_mean_exp": [
        stable,
        by_columns,
        pairwise,
        lambda x: get_xp(x).log(get_xp(x).mean(get_xp(x).exp(x), axis=-1)),
        lambda x: get_xp(x).log(get_xp(x).exp(x).sum(axis=1)) - math.log(x.shape[1]),
        lambda x: get_xp(x).log((math.e**x).sum(1) / x.shape[1]),
        lambda x: get_xp(x).array([get_xp(x).log(get_xp(x).average(get_xp(x).exp(row))) for row in x]),
    ],
    "gpu.draw": [
        lambda mu, sigma, eps: mu + sigma * get_xp(mu).asarray(eps, dtype=mu.dtype),
        lambda mu, sigma, eps: mu + sigma * get_xp(mu).asarray(eps.astype(mu.dtype)),
        lambda mu, sigma, eps: as_backend(eps, get_xp(sigma), sigma.dtype) * sigma + mu,
        lambda mu, sigma, eps: (mu + sigma * as_backend(eps, get_xp(mu))).astype(mu.dtype),
        lambda mu, sigma, eps: get_xp(mu).add(mu, sigma * get_xp(mu).array(eps, mu.dtype)),
    ],
    "gpu.norm": [
        in_a_loop,
        root_on_the_device,
        packed,
        norm_of_norms,
        lambda grads: sum((g * g).sum() for g in grads.values()).item() ** 0.5,
        lambda grads: float(sum(get_xp(g).vdot(g, g) for g in grads.values())) ** 0.5,
        lambda grads: float(sum((g.ravel() @ g.ravel()) for g in grads.values()) ** 0.5),
    ],
    "gpu.seconds": [warmed_twice, one_by_one, each_measured, waited_twice, waits_in_between_before],
}

ON_NUMPY_ALONE = {
    "gpu.log_mean_exp": [
        (lambda x: np.log(np.exp(x).mean(axis=1)), "NumPy is called by its name"),
        (lambda x: np.log(np.exp(np.asarray(x)).mean(axis=1)), "turned into one of NumPy's"),
        (lambda x: get_xp(x).log(get_xp(x).exp(to_numpy(x)).mean(axis=1)), "meets one of the device"),
        (lambda x: np.log(np.exp(to_numpy(x)).mean(axis=1)), "the result lies on the host"),
        (lambda x: as_backend(np.log(np.exp(to_numpy(x)).mean(axis=1)), get_xp(x)), "it need not wait at all"),
        (lambda x: get_xp(x).log(get_xp(x).exp(x).sum(1, initial=0.0) / x.shape[1]), "not have this keyword"),
        (lambda x: get_xp(x).log(get_xp(x).einsum("bk->b", get_xp(x).exp(x)) / x.shape[1]), "another way"),
        (lambda x: get_xp(x).log(get_xp(x).block([get_xp(x).exp(x)]).mean(axis=1)), "does not have this name"),
    ],
    "gpu.draw": [
        (lambda mu, sigma, eps: mu + sigma * eps, "an array of the host meets one of the device"),
        (lambda mu, sigma, eps: mu + sigma * as_backend(eps, get_xp(mu)), "the result is float64"),
        (lambda mu, sigma, eps: to_numpy(mu) + to_numpy(sigma) * eps, "the result lies on the host"),
        (lambda mu, sigma, eps: np.asarray(mu) + np.asarray(sigma) * eps, "turned into one of NumPy's"),
        (
            lambda mu, sigma, eps: as_backend(to_numpy(mu) + to_numpy(sigma) * eps, get_xp(mu), mu.dtype),
            "the host waits 2 times, and it need not wait at all",
        ),
    ],
    "gpu.norm": [
        (lambda d: sum(float((g * g).sum()) for g in d.values()) ** 0.5, "the host waits 4 times, and once is enough"),
        (lambda d: sum((to_numpy(g) ** 2).sum() for g in d.values()) ** 0.5, "the host waits 4 times, and once"),
        (lambda d: sum((g * g).sum() for g in d.values()) ** 0.5, "the result still lies there"),
        (lambda d: np.sqrt(sum((g * g).sum() for g in d.values())), "NumPy is called by its name"),
        (lambda d: np.sqrt(sum(np.sum(np.asarray(g) ** 2) for g in d.values())), "turned into one of NumPy's"),
    ],
}

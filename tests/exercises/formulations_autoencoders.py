"""Correct formulations of the blanks on autoencoders."""

import numpy as np


def by_a_bigger_matrix(x, W_e, b_e, W_d, b_d):
    """Offsets as one more row, and a one on each image."""
    ones = np.ones((len(x), 1))
    z = np.hstack([x, ones]) @ np.vstack([W_e, b_e])
    return np.hstack([z, ones]) @ np.vstack([W_d, b_d])


def errors_by_a_loop(x, x_hat):
    errors = []
    for a, b in zip(x, x_hat, strict=True):
        total = 0.0
        for d in range(len(a)):
            total += (a[d] - b[d]) ** 2
        errors.append(total)
    return errors


def plane_by_svd(x, n_z):
    mean = x.mean(axis=0)
    _, _, Vt = np.linalg.svd(x - mean, full_matrices=False)
    return mean, Vt[:n_z].T @ Vt[:n_z]


def plane_by_sorting(x, n_z):
    mean = np.mean(x, axis=0)
    values, vectors = np.linalg.eig((x - mean).T @ (x - mean) / len(x))
    order = np.argsort(values.real)[::-1][:n_z]
    V = vectors[:, order].real
    return mean, V @ V.T


def plane_by_outer_products(x, n_z):
    mean = x.sum(axis=0) / len(x)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False, bias=True))
    return [mean, sum(np.outer(v, v) for v in vectors.T[::-1][:n_z])]


def plane_by_taking_the_rest_away(x, n_z):
    mean = x.mean(0)
    U, _, _ = np.linalg.svd(np.cov((x - mean).T))
    rest = U[:, n_z:]
    return mean, np.eye(x.shape[1]) - rest @ rest.T


def plane_by_images(x, n_z):
    """From the eigenvectors of the images' inner products."""
    mean = x.mean(axis=0)
    _, U = np.linalg.eigh((x - mean) @ (x - mean).T)
    Q, _ = np.linalg.qr((x - mean).T @ U[:, -n_z:])
    return mean, Q @ Q.T


def undone_code_by_code(W_d, b_d, A, c):
    """Where the new codes 0 and those of one unit are decoded to."""

    def picture(y):
        return np.linalg.solve(A.T, y - c) @ W_d + b_d

    b_new = picture(np.zeros(len(c)))
    return np.stack([picture(e) - b_new for e in np.eye(len(c))]), b_new


def halfway_by_rows(x_1, x_2, encode, decode):
    rows = [decode((encode(a[None]) + encode(b[None])) / 2)[0] for a, b in zip(x_1, x_2, strict=True)]
    return np.array(rows)


FORMULATIONS = {
    "autoencoders.reconstruct": [
        by_a_bigger_matrix,
        lambda x, W_e, b_e, W_d, b_d: (x @ W_e + b_e) @ W_d + b_d,
        lambda x, W_e, b_e, W_d, b_d: x @ (W_e @ W_d) + (b_e @ W_d + b_d),
        lambda x, W_e, b_e, W_d, b_d: np.einsum("nd,dz,ze->ne", x, W_e, W_d) + b_e @ W_d + b_d[None],
        lambda x, W_e, b_e, W_d, b_d: [W_d.T @ (W_e.T @ row + b_e) + b_d for row in x],
        lambda x, W_e, b_e, W_d, b_d: np.add(np.dot(np.add(np.dot(x, W_e), b_e), W_d), b_d),
    ],
    "autoencoders.errors": [
        errors_by_a_loop,
        lambda x, y: np.square(x - y).sum(-1),
        lambda x, y: np.linalg.norm(x - y, axis=1) ** 2,
        lambda x, y: np.einsum("nd,nd->n", y - x, y - x),
        lambda x, y: np.diag((x - y) @ (x - y).T),
        lambda x, y: x.shape[1] * np.mean((y - x) ** 2, axis=1),
    ],
    "autoencoders.plane": [
        plane_by_svd,
        plane_by_sorting,
        plane_by_outer_products,
        plane_by_taking_the_rest_away,
        plane_by_images,
    ],
    "autoencoders.undo": [
        undone_code_by_code,
        lambda W, b, A, c: (np.linalg.solve(A, W), b - c @ np.linalg.solve(A, W)),
        lambda W, b, A, c: [np.linalg.pinv(A) @ W, b - (c @ np.linalg.inv(A)) @ W],
        lambda W, b, A, c: (np.linalg.inv(A).dot(W), -c.dot(np.linalg.inv(A)).dot(W) + b),
        lambda W, b, A, c: ((W.T @ np.linalg.inv(A.T)).T, b - W.T @ np.linalg.inv(A).T @ c),
    ],
    "autoencoders.halfway": [
        halfway_by_rows,
        lambda a, b, encode, decode: decode(0.5 * encode(a) + 0.5 * encode(b)),
        lambda a, b, encode, decode: decode(encode(a) + (encode(b) - encode(a)) / 2),
        lambda a, b, encode, decode: decode(np.mean([encode(a), encode(b)], axis=0)),
        lambda a, b, encode, decode: decode(encode(np.vstack([a, b])).reshape(2, len(a), -1).mean(axis=0)),
    ],
}

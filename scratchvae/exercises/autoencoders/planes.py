"""The best plane through the images, and a code that is changed without a change of the pictures.

Sizes: N images, D pixels, Z numbers in a code.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value

N, D, Z = 40, 6, 2
SQUARE = 3  # of undo: as many numbers in a code as in a picture
SPREADS = np.array([0.2, 3.0, 0.4, 0.6, 5.0, 1.0])  # of the images along six directions: two are much the largest


def best_plane(x, n_z):
    """The mean of the rows of x, and the projection on the n_z directions of largest variance.

    x (N, D) -> mean (D,), P (D, D).
    """
    mean = x.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(x.T))  # rising
    V = directions[:, -n_z:]
    return mean, V @ V.T


def some_images(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    turn, _ = np.linalg.qr(rng.standard_normal((D, D)))
    return (rng.standard_normal((N, D)) * SPREADS) @ turn + 3 * rng.standard_normal(D), Z


def plane_by_powers(x: np.ndarray, n_z: int) -> dict[str, np.ndarray]:
    """Without eigenvectors: a frame that the covariance turns, made orthonormal again, until it rests."""
    mean = sum(x) / len(x)
    frame = np.eye(x.shape[1])[:, :n_z]
    for _ in range(100):
        frame, _ = np.linalg.qr((x - mean).T @ ((x - mean) @ frame))
    return {"mean": mean, "P": frame @ frame.T}


def leading(x: np.ndarray, n_z: int) -> np.ndarray:
    """The directions, in columns (D, n_z)."""
    return np.linalg.eigh(np.cov(x.T))[1][:, -n_z:]


def projector(V: Any) -> Any:
    return V @ V.T


PLANE = value(
    best_plane,
    plane_by_powers,
    some_images,
    (
        "Along which directions do the images vary most? Of which matrix are they eigenvectors? And in which order "
        "does np.linalg.eigh return them?",
        "P = V V^T, where the columns of V are the eigenvectors of the covariance with the n_z largest eigenvalues",
        "mean = ...; _, directions = np.linalg.eigh(np.cov(x.T)); V = directions[:, ...]; return mean, V @ V.T",
    ),
    (
        Slip(
            lambda x, n: (x.mean(0), projector(np.linalg.eigh(np.cov(x.T))[1][:, :n])),
            "transpose",
            "these are the directions of least variance: eigh returns its eigenvalues rising",
        ),
        Slip(
            lambda x, n: (x.mean(0), projector(np.linalg.eigh(np.cov(x.T))[1][-n:].T)),
            "transpose",
            "eigenvectors are the columns of what eigh returns, and these are rows",
        ),
        Slip(
            lambda x, n: (x.mean(0), projector(np.linalg.svd(x, full_matrices=False)[2][:n].T)),
            "missing-term",
            "the mean is still in the images: the first direction points at it",
        ),
        Slip(
            lambda x, n: (x.mean(0), projector(np.linalg.svd((x - x.mean(0)).T @ (x - x.mean(0)))[2][:, :n])),
            "transpose",
            "svd returns the directions in the rows of its third value, and these are columns",
        ),
        Slip(
            lambda x, n: (x.mean(0), projector(np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:, :n])),
            "transpose",
            "svd returns the directions in the rows of its third value: these are its columns",
        ),
        Slip(
            lambda x, n: (x.mean(0), projector(np.linalg.eigh(np.corrcoef(x.T))[1][:, -n:])),
            "elementwise-factor",
            "every pixel is divided by its spread: eigenvectors of the covariance are wanted, not of the correlation",
        ),
        Slip(lambda x, n: (x.mean(0), leading(x, n)), "shape", "V alone: the projection is V V^T, of the shape (D, D)"),
        Slip(
            lambda x, n: (x.mean(0), leading(x, n).T @ leading(x, n)),
            "transpose",
            "V^T V is the identity of the shape (n_z, n_z): the other order projects",
        ),
        Slip(
            lambda x, n: (x.mean(0), projector(leading(x, n) * np.sqrt(np.linalg.eigvalsh(np.cov(x.T))[-n:]))),
            "elementwise-factor",
            "the directions are scaled by their variances: a projection leaves what lies in the plane as it is",
        ),
        Slip(
            lambda x, n: (x.mean(0), projector(leading(x, n + 1))),
            "missing-term",
            "there is one direction too many in it",
        ),
        Slip(
            lambda x, n: (x.mean(0), np.eye(x.shape[1]) - projector(leading(x, n))),
            "sign",
            "this projects on what is left over",
        ),
        Slip(
            lambda x, n: (x.mean(0), leading(x.T, n) @ leading(x.T, n).T),
            "transpose",
            "P has a row for each image: np.cov wants the pixels in rows, and in x they are columns",
        ),
        Slip(
            lambda x, n: (x.mean(1), projector(leading(x, n))),
            "transpose",
            "the mean has a number for each image: it runs over the images, and leaves one for each pixel",
        ),
        Slip(
            lambda x, n: (x.mean(1), projector(leading(x.T, n))),
            "transpose",
            "mean and P belong to images here, and should belong to pixels: images are the rows of x",
        ),
        Slip(
            lambda x, n: (x.mean(0), (x - x.mean(0)) @ leading(x, n)),
            "shape",
            "these are the codes of the images: wanted is P, the same for all images",
        ),
        Slip(
            lambda x, n: (x.mean(0), x.mean(0) + (x - x.mean(0)) @ projector(leading(x, n))),
            "shape",
            "these are the projected images: wanted is the matrix that projects them",
        ),
        Slip(
            lambda x, n: (x.mean(), projector(leading(x, n))),
            "shape",
            "the mean is one number for all pixels: each pixel has its own",
        ),
    ),
)


def undo(W_d, b_d, A, c):
    """The decoder for new codes z A + c that makes the pictures which W_d, b_d made of z.

    W_d (Z, D), b_d (D,), A (Z, Z) with an inverse, c (Z,) -> W_new (Z, D), b_new (D,).
    """
    W_new = np.linalg.inv(A) @ W_d
    return W_new, b_d - c @ W_new


def a_decoder_and_a_change(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """As many pixels as numbers in a code: a product in the wrong order has a shape that fits, and can be named."""
    turn, _ = np.linalg.qr(rng.standard_normal((SQUARE, SQUARE)))
    sheared = np.eye(SQUARE) + 0.8 * np.eye(SQUARE, k=1)
    stretched = turn @ np.diag([0.5, 1.2, 1.7]) @ sheared  # far from symmetric
    W_d, b_d = rng.standard_normal((SQUARE, SQUARE)), rng.standard_normal(SQUARE)
    return W_d, b_d, stretched, 2 * rng.standard_normal(SQUARE)


def undo_by_fitting(W_d: np.ndarray, b_d: np.ndarray, A: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
    """From seven codes and their pictures: which offset and which rows make these pictures of the new codes?"""
    z = np.random.default_rng(0).standard_normal((7, len(A)))
    ones = np.ones((7, 1))
    fitted, *_ = np.linalg.lstsq(np.hstack([z @ A + c, ones]), z @ W_d + b_d, rcond=None)
    return {"W_new": fitted[:-1], "b_new": fitted[-1]}


UNDO = value(
    undo,
    undo_by_fitting,
    a_decoder_and_a_change,
    (
        "Call the new code y = z A + c. How do you get z back from y? Put that into z W_d + b_d.",
        "z = (y - c) A^-1, so W_new = A^-1 W_d and b_new = b_d - c A^-1 W_d",
        "W_new = np.linalg.inv(A) @ ...; return W_new, b_d - c @ ...",
    ),
    (
        Slip(
            lambda W, b, A, c: (A @ W, b - c @ A @ W),
            "transpose",
            "A is done once more, where it should be undone",
        ),
        Slip(
            lambda W, b, A, c: (A @ W, b + c @ W),
            "transpose",
            "the decoder is changed as the encoder was: it should undo that, not do it once more",
        ),
        Slip(
            lambda W, b, A, c: (A.T @ W, b - c @ A.T @ W),
            "transpose",
            "a transpose undoes A only if its columns are orthonormal: A is any matrix that has an inverse",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A).T @ W, b - c @ np.linalg.inv(A).T @ W),
            "transpose",
            "the inverse of A is transposed: codes are rows, and A stands to their right",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b),
            "missing-term",
            "the new codes are shifted by c: the offset has to take that back",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b + c @ np.linalg.inv(A) @ W),
            "sign",
            "the shift is added once more, where it should be taken back",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b - c @ W),
            "elementwise-factor",
            "the shift came after A, so that it meets the inverse of A on its way back, too",
        ),
        Slip(
            lambda W, b, A, c: (1 / A @ W, b - c @ (1 / A) @ W),
            "elementwise-factor",
            "1 / A inverts the entries one by one: wanted is the inverse of the matrix",
        ),
        Slip(lambda W, b, A, c: (W, b - c @ W), "missing-term", "the shift is taken back, and A is not"),
        Slip(lambda W, b, A, c: (W, b), "missing-term", "this is the old decoder"),
        Slip(
            lambda W, b, A, c: (W @ np.linalg.inv(A), b - c @ W @ np.linalg.inv(A)),
            "transpose",
            "W_d and the inverse of A stand in the wrong order: the new code meets the inverse first",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b - np.linalg.inv(A) @ W @ c),
            "transpose",
            "the shift c is a row, as codes are: it stands to the left of the matrices",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b - np.linalg.inv(A) @ c @ W),
            "transpose",
            "the shift c is a row, as codes are: it stands to the left of the inverse of A",
        ),
        Slip(
            lambda W, b, A, c: (W @ np.linalg.inv(A), b),
            "transpose",
            "W_d and the inverse of A stand in the wrong order, and the shift c is still to be taken back",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b - W @ c),
            "transpose",
            "the shift c is a row, as codes are, and it meets the inverse of A as well",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b - c),
            "missing-term",
            "a code is taken off a picture: c has to be decoded before b_d can take it back",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, (b - c) @ np.linalg.inv(A)),
            "elementwise-factor",
            "a code is taken off a picture: b_d is no code, and A does not touch it",
        ),
        Slip(
            lambda W, b, A, c: (np.linalg.inv(A) @ W, b - c @ np.linalg.inv(A)),
            "missing-term",
            "c is brought back to an old code, and a code cannot be taken off a picture: decode it with W_d",
        ),
        Slip(
            lambda W, b, A, c: (W @ A, b - c @ W @ A),
            "transpose",
            "W_d is multiplied by A: the decoder should undo A, and W_d comes last",
        ),
        Slip(
            lambda W, b, A, c: (b - c @ np.linalg.inv(A) @ W, np.linalg.inv(A) @ W),
            "transpose",
            "the two are swapped: first W_new, then b_new",
        ),
    ),
)

"""Which axis is which in what is made up: the layouts, in the order in which they are tried."""

from typing import NamedTuple

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """Which axis is which."""

    label: str
    data: Shape
    weight: Shape
    bias: Shape
    gain: Shape
    batch: int | None = 0  # the axis of the examples
    features: int = -1


LAYOUTS = (
    Layout("batch-first (x @ W)", (5, 4), (4, 3), (3,), (4,)),
    Layout("batch-first (x @ W), b a row", (5, 4), (4, 3), (1, 3), (1, 4)),
    Layout("batch-first (x * w)", (5, 4), (4,), (4,), (4,)),
    Layout("features-first (W @ x)", (4, 5), (3, 4), (3, 1), (4, 1), 1, 0),
    Layout("batch-first (x @ W.T)", (5, 4), (3, 4), (3,), (4,)),
    Layout("a vector (W @ x)", (4,), (3, 4), (3,), (4,), None),
    Layout("a vector (x @ W)", (4,), (4, 3), (3,), (4,), None),
    Layout("images (B, C, H, W)", (2, 4, 6, 6), (3, 4, 3, 3), (3,), (4,), 0, 1),
    Layout("images (B, C, H, W), gamma (1, C, 1, 1)", (2, 4, 6, 6), (3, 4, 3, 3), (3, 1), (1, 4, 1, 1), 0, 1),
    Layout("images (B, H, W, C)", (2, 6, 6, 4), (3, 3, 4, 3), (3,), (4,)),
    Layout("images (B, H, W, C), b (1, 1, 1, C)", (2, 6, 6, 4), (3, 3, 4, 3), (1, 1, 1, 3), (1, 1, 1, 4)),
    Layout("signals (B, C, L)", (2, 4, 6), (3, 4, 3), (3,), (4,), 0, 1),
    Layout("sequences (B, T, D)", (2, 5, 4), (4, 3), (3,), (4,)),
    Layout("sequences (T, B, D)", (5, 2, 4), (4, 3), (3,), (4,), 1),
    Layout("sequences, features first (D, B, T)", (4, 2, 5), (3, 4), (3, 1), (4, 1), 1, 0),
    Layout("batch-first, one output (x @ w)", (5, 4), (4,), (), (4,)),
    Layout("features-first, one output (w.T @ x)", (4, 5), (4, 1), (), (4, 1), 1, 0),
    Layout("a column (W @ x)", (4, 1), (3, 4), (3, 1), (4, 1), None, 0),
    Layout("one image (C, H, W)", (4, 6, 6), (3, 4, 3, 3), (3,), (4,), None, 0),
    Layout("numbers", (), (), (), (), None),
    Layout("indices (B, T)", (2, 5), (4, 3), (3,), (4,)),
    Layout("batch-first, W square", (5, 4), (4, 4), (4,), (4,)),
    Layout("a vector, W square", (4,), (4, 4), (4,), (4,), None),
    Layout("sequences (B, T, D), W square", (2, 5, 4), (4, 4), (4,), (4,)),
)
VECTORS = Layout("vectors (n,)", (6,), (6,), (), (6,))
TOLD = [
    Layout("the shapes that are told", *shapes)
    for shapes in zip(
        ((5, 4), (4,), (2, 4, 6, 6)), ((4, 3), (4, 3), (3, 4, 3, 3)), ((3,),) * 3, ((4,),) * 3, strict=True
    )
]

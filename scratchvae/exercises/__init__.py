"""What the reader writes: for each blank how an answer is judged, three hints, and a solution."""

from scratchvae.exercises.check import check, hint, progress, solution, use

__all__ = ["check", "hint", "progress", "solution", "use"]

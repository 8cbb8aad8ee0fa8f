"""python -m scratchvae.checks.museum: print docs/museum.md, written anew."""

from scratchvae.checks.museum import SPECIMENS, examine
from scratchvae.checks.museum.page import page

if __name__ == "__main__":
    print(page([(s, examine(s.broken, s.correct)) for s in SPECIMENS]), end="")

"""python -m scratchvae.museum: print docs/museum.md, written anew."""

from scratchvae.museum import SPECIMENS, examine
from scratchvae.museum.page import page

if __name__ == "__main__":
    print(page([(s, examine(s.broken, s.correct)) for s in SPECIMENS]), end="")

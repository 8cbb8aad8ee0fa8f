"""python -m scratchvae.checks.museum: print docs/museum.md, written anew."""

from scratchvae.checks.museum import SPECIMENS
from scratchvae.checks.museum.page import page

if __name__ == "__main__":
    print(page(SPECIMENS), end="")

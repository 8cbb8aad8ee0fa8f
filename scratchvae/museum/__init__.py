"""The museum: planted bugs, each beside the correct component, and which check sees it.

A bug is a few lines; the wrong one is marked `# the slip`. Most were found in public code whose authors had tested it.

    python -m scratchvae.museum > docs/museum.md

writes the table again: every check on every bug, and on every correct component.
"""

from scratchvae.museum import gaussian, layers, likelihoods, optim, vae
from scratchvae.museum.specimen import Specimen, causes, deviations, examine, seen_by

SPECIMENS: tuple[Specimen, ...] = tuple(
    specimen for chapter in (layers, gaussian, likelihoods, vae, optim) for specimen in chapter.SPECIMENS
)

__all__ = ["SPECIMENS", "Specimen", "causes", "deviations", "examine", "seen_by"]

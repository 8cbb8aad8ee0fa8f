"""The museum: planted bugs, each beside the correct component, and which check sees it.

A bug is a few lines; the wrong one is marked `# the slip`. Most were found in public code whose authors had tested it.

    python -m scratchvae.museum > docs/museum.md

writes the table again: every check on every bug, and on every correct component.
"""

from scratchvae.museum import activations, blocks, gaussian, layers, likelihoods, optim, vae
from scratchvae.museum.specimen import Specimen, causes, deviations, examine, seen_by

MODULES = (activations, layers, blocks, gaussian, likelihoods, vae, optim)
SPECIMENS: tuple[Specimen, ...] = tuple(specimen for module in MODULES for specimen in module.SPECIMENS)

__all__ = ["SPECIMENS", "Specimen", "causes", "deviations", "examine", "seen_by"]

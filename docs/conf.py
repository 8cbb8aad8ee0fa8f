"""Sphinx reads this: python -m pip install -e '.[docs]', then python -m sphinx -W docs build/docs."""

import os

project = "scratchvae"
extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # why: ```math is how a Git host marks a displayed formula
myst_heading_anchors = 3
html_show_copyright = False
html_theme_options = {
    "page_width": "1240px",
    "body_max_width": "none",
    "description": "A variational autoencoder whose derivation is a test",
}
if "MATHJAX" in os.environ:  # a copy of MathJax on this machine, for reading without the network
    mathjax_path = os.environ["MATHJAX"]

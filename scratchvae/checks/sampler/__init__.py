"""check_sampler in its parts: draw and its law, what they are instead (formulas, curves, takes), and check."""

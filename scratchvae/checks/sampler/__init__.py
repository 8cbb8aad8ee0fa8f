"""check_sampler in its parts: draw and its law, chance, what they are instead (formulas, curves, takes), and check."""

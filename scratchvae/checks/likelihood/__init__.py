"""check_likelihood in its parts: claims, density, witnesses, lattices, variants, normalised, means, draws, check."""

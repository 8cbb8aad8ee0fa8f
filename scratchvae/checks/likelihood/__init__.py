"""check_likelihood in its parts: claims, density, lattices, witnesses, normalised, means, draws, check, their sum."""

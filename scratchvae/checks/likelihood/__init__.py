"""check_likelihood in its parts: claims, density, normalised, draws, and check, which puts them together."""

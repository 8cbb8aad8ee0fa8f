"""Pictures of a model and of its training. matplotlib is imported in `plots`, so `import scratchvae` needs NumPy alone."""

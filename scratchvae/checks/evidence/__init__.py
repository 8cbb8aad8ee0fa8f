"""check_evidence in its parts: inside a model, quadrature, the bound and its terms, bounds of K draws, check."""

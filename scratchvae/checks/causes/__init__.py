"""What can be wrong with a gradient: small hypotheses, sorted by what they would do to repair it."""

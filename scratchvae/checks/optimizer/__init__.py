"""check_optimizer in its parts: the rules, the steps, and check, which puts them together."""

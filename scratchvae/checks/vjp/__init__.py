"""check_vjp in its parts, in reading order: call, arrays, function, differences, directions, subject, check, and why.

Why a gradient is wrong: case (what is known), causes_*.py (the hypotheses), explain (which are believed), sentences.
"""

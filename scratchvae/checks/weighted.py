"""stub"""


def draws_of(model, rng):
    return 0


def bound_of_many(*a):
    pass

"""check_file in its parts, in the order of reading, from names and module to fit and check.

A file is imported, its pairs are found by their names, arguments are made up that fit, and every pair is then
checked by check_vjp as one of named arrays.
"""

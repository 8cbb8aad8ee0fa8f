"""Published numbers, each from one command: a row is a configuration in a file, and a run of it what was measured.

rows        where the configurations are, and what is written beside them
trained     a model trained on images and measured: the bounds of a paper's table
"""

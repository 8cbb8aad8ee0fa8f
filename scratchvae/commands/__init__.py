"""The verbs of the command line, one a file: HELP, EXAMPLE, add_arguments(parser), run(args) -> exit code."""

"""One module per command: HELP, arguments(parser), main(state, options) -> exit code."""

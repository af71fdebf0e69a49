"""A page for people: what is in the registry, to be read in a browser, without a line of JavaScript."""

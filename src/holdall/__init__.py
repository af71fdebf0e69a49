"""Holdall: a container platform. `from holdall import Engine` is the whole public face."""

"""The `holdall` command: one file per command; the only package that prints or exits."""

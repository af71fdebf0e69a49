"""`python -m holdall` is the `holdall` command."""

from holdall.cli.entry import run

run()

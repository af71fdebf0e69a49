"""`python -m holdall` is the `holdall` command."""

from holdall.cli.main import run

run()

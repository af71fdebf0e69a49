"""One lean process per store that owns running containers: stdio, logs, exit codes, ports."""

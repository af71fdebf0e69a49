"""The OCI runtime: one file per verb and per process (runtime-spec 1.2)."""

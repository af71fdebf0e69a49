"""OCI data types (image-spec 1.1, runtime-spec 1.2): pure parse and serialise, no I/O."""

"""The registry server: distribution-spec 1.1 over a catalog of rows and a store of bytes, no state in the process."""

"""The distribution-spec 1.1 client: pull, push, log in."""

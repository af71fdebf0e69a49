"""Other registries served through this one: asked when something is not here yet, or may have changed."""

"""Bake: several builds described in one file, as `docker buildx bake` reads them from JSON and from compose files."""

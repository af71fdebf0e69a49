"""Build checks: BuildKit's named rules about a Dockerfile that builds but should not look as it does."""

"""Random images, in-memory registry and fixtures for tests."""

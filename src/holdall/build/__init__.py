"""Dockerfiles solved: instructions become steps with content keys, steps become layers, layers an image."""

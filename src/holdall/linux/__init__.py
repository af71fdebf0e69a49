"""Thin modules over the kernel's doors, one per door; each raises OSError(errno, strerror, path)."""

"""Layers as tar streams: read, write, unpack, compare. The security edge for outside bytes."""

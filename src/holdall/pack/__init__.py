"""`holdall pack`: images from programs of this machine."""

"""Use cases; the one place that wires the parts together."""

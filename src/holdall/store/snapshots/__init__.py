"""Snapshot drivers: how a layer becomes files the kernel can mount."""

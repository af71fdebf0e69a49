"""Images from one place to another, byte for byte: registries, image layouts, archives."""

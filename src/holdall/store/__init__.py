"""What is kept on disk: blobs, names, layers, containers' records."""

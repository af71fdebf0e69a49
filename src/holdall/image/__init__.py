"""Image, Index and Layer views that every source and sink shares."""

"""`--format`: Go's text/template as far as Docker's users write it, and tables."""

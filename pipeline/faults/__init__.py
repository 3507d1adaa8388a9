"""What `deepsched chaos` does: breaking things on purpose, a kind of thing a file."""

"""A labelled dataset: its files, manifest, rows, and reading them."""

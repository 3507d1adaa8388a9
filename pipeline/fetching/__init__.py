"""Public data files: the list of them, downloading one, putting it in place, and all at once."""

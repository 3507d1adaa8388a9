"""The client of the scheduling service; needs neither Ray nor torch."""

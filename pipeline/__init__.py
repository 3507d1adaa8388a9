"""The stages, each a thin shell of Ray around plain functions, and the command line."""

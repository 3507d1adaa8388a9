"""What `deepsched benchmark` measures, one subcommand a file."""

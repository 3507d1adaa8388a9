"""What the stages share: the command line, options, outputs, provenance, and Ray."""

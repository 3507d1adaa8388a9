"""The network `deepsched`: HEFT's rule, bent task by task by what a network has learned."""

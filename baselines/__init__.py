"""Schedulers, and the problem they solve. Needs numpy, numba and networkx only."""

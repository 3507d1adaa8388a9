"""Compiled loops over flat arrays: no checks, no objects; the plain functions that call them check.

Axes: n tasks, p machines, m edges. No fast-math anywhere: the order of the floating-point
operations decides labels.
"""

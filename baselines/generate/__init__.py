"""Seeded random problems: a task graph of some family, machines, links, costs and limits."""

from deepsched.baselines.generate.draw import generate
from deepsched.baselines.generate.families import FAMILIES, Family, Graph, Shape
from deepsched.baselines.generate.spec import GeneratorSpec

__all__ = ["FAMILIES", "Family", "GeneratorSpec", "Graph", "Shape", "generate"]

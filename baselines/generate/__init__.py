"""Seeded random problems: a task graph of some family, machines, links, costs and limits."""

from baselines.generate.draw import generate
from baselines.generate.families import FAMILIES, Family, Graph, Shape
from baselines.generate.spec import GeneratorSpec

__all__ = ["FAMILIES", "Family", "GeneratorSpec", "Graph", "Shape", "generate"]

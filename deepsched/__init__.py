"""DeepSched: a learned scheduler for task graphs on heterogeneous machines."""

from __future__ import annotations

import os

# In a checkout the three packages lie beside this folder; installed, they lie in it.
if not os.path.isdir(os.path.join(__path__[0], "baselines")):  # noqa: PTH112, PTH118 - pathlib is slow to import
    __path__.append(os.path.dirname(__path__[0]))  # noqa: PTH120

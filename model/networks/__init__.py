"""The tables of networks: one architecture per file."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from baselines.errors import UnknownName
from model.config import DeepSchedConfig, NetworkConfig, PaperConfig, parse_config
from model.guided.network import DeepSchedNetwork
from model.networks.paper import PaperNetwork
from model.networks.paper_padded import PaddedPaperNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkEntry:
    """A network's settings and what builds it from them."""

    config: type[NetworkConfig]
    build: Callable[[Any], nn.Module]


def _paper(config: PaperConfig) -> nn.Module:
    return PaperNetwork(config) if config.max_tasks is None else PaddedPaperNetwork(config)


# They imitate a teacher: `forward` takes a `Batch` and returns a `Prediction`.
NETWORKS: Mapping[str, NetworkEntry] = MappingProxyType(
    {
        "paper": NetworkEntry(config=PaperConfig, build=_paper),
    }
)
# They bend a heuristic and improve themselves: `forward` takes a `GraphBatch`.
GUIDES: Mapping[str, NetworkEntry] = MappingProxyType(
    {
        "deepsched": NetworkEntry(config=DeepSchedConfig, build=DeepSchedNetwork),
    }
)
EVERY_NETWORK: Mapping[str, NetworkEntry] = MappingProxyType({**NETWORKS, **GUIDES})


def network_config(
    name: str,
    values: Mapping[str, Any],
    where: str = "network",
    known: Mapping[str, NetworkEntry] = NETWORKS,
) -> NetworkConfig:
    """Return the checked settings of network `name`; fields left out have their defaults.

    Raises
    ------
    UnknownName
        If there is no such network among the `known`.
    InvalidInput
        Naming `where` and the fields that are unknown or out of range.
    """
    try:
        entry = known[name]
    except KeyError:
        raise UnknownName("network", name, known) from None
    return parse_config(entry.config, values, where)


def build_network(name: str, config: Mapping[str, Any] | NetworkConfig | None = None) -> nn.Module:
    """Return a new network with random weights from torch's global generator.

    Raises
    ------
    UnknownName, InvalidInput
        As :func:`network_config`.
    """
    values = config.model_dump() if isinstance(config, NetworkConfig) else (config or {})
    checked = network_config(name, values, f"network {name!r}", EVERY_NETWORK)
    return EVERY_NETWORK[name].build(checked)

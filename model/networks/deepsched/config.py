"""The settings of the network `deepsched`."""

from __future__ import annotations

from dataclasses import dataclass

from deepsched.baselines.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class DeepSchedConfig(Settings):
    """Sizes of the network, and the decoding that it is trained for."""

    width: int = setting(32, "Channels of each task.", at_least=1, at_most=1024)
    rounds: int = setting(3, "Rounds of messages along the edges.", at_least=0, at_most=16)
    heads: int = setting(
        4,
        "Alternatives of the outputs, each decoded for the best schedule of all.",
        at_least=1,
        at_most=16,
    )
    decode: str = setting(
        "full",
        "Candidate machines of a task while the network learns: all, or a few promising ones.",
        choices=("full", "topk"),
    )

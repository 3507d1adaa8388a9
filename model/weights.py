"""Weights of a torch module, out of the bytes of a safetensors file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn


def load_weights(network: nn.Module, weights: bytes, path: Path) -> None:
    """Put the weights into the module, bit for bit, and set it to evaluation.

    Raises
    ------
    InvalidInput
        Naming `path` and the tensor that is missing, foreign, of another shape or type, or holds
        what is no number.
    """
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise InvalidInput(f"{path}: not a safetensors file: {error}") from None
    _check_shapes(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)
    network.eval()


def _check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    for key in sorted(found.keys() ^ expected.keys()):
        state = "is missing" if key in expected else "does not belong to this network"
        raise InvalidInput(f"{path}: tensor {key!r} {state}")
    for key, tensor in expected.items():
        if found[key].shape != tensor.shape or found[key].dtype != tensor.dtype:
            raise InvalidInput(
                f"{path}: tensor {key!r} is {found[key].dtype} {tuple(found[key].shape)}; "
                f"{tensor.dtype} {tuple(tensor.shape)} expected"
            )
        if not torch.isfinite(found[key]).all():
            raise InvalidInput(f"{path}: tensor {key!r} holds NaN or infinite values")

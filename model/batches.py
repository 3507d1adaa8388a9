"""Batches, dataclasses of tensors, on their way to a device."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

Batch = TypeVar("Batch")


def on_device(batch: Batch, device: torch.device | str) -> Batch:
    """Return the same batch with its tensors on a device.

    From pinned memory the copies are asynchronous; what runs on the device next waits for them.
    """
    return _each(batch, lambda tensor: tensor.to(device, non_blocking=True))


def pinned(batch: Batch) -> Batch:
    """Return the same batch in pinned memory where there is a GPU that could copy from it."""
    return _each(batch, Tensor.pin_memory) if torch.cuda.is_available() else batch


def _each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    values: Any = batch
    changed = {
        field.name: change(value)
        for field in dataclasses.fields(values)
        if isinstance(value := getattr(values, field.name), Tensor)
    }
    found: Batch = dataclasses.replace(values, **changed)
    return found

"""Settings that come from a user, as a pydantic model; its errors in one line of our own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = TypeVar("Model", bound=BaseModel)


def parse_model(kind: type[Model], values: Mapping[Any, Any], where: str) -> Model:
    """Return checked settings; fields left out have their defaults.

    Parameters
    ----------
    where : what the values are of, for messages.

    Raises
    ------
    InvalidInput
        Naming `where` and the field, for an unknown field, a missing one or an illegal value.
    """
    try:
        return kind(**{str(key): value for key, value in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            raise InvalidInput(f"{where}: unknown field {field!r}; one of: {known}") from None
        if first["type"] == "missing":
            raise InvalidInput(f"{where}: {field} is missing") from None
        raise InvalidInput(f"{where}: {field} = {first['input']!r}: {first['msg']}") from None

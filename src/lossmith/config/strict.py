"""The base of every group of the schema: unknown keys and wrong types are errors, nothing is coerced."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """A group of keys; assignment is validated too, so that a change in a notebook is checked."""

    # Defaults are validated too: 32 given as a default for a float would be another configuration than 32.0 read back.
    model_config = ConfigDict(
        extra="forbid", strict=True, validate_assignment=True, validate_default=True, protected_namespaces=()
    )

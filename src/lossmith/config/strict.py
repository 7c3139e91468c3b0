"""The base of every group of the schema: unknown keys and wrong types are errors, nothing is coerced."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """A group of keys; assignment is validated too, so that a change in a notebook is checked."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_assignment=True, protected_namespaces=())

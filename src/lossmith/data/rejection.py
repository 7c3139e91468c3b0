"""The error of one record, as against the error of a whole source."""

from __future__ import annotations

from lossmith.errors import DataError


class RecordError(DataError):
    """A record that cannot be used, where the others may be.

    Whoever reads a source writes `message` into rejected.jsonl and goes on; the rest of the error tells what to mend.
    """

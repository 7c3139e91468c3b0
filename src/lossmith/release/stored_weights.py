"""The weights that lie in a whole model's folder, one tensor in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torch import Tensor

from lossmith.errors import LossmithError


def stored_weights(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a folder's safetensors, by name, in the number format that they are stored in.

    Raises LossmithError for a file that is not whole.
    """
    from safetensors import SafetensorError, safe_open

    with ExitStack() as opened:
        places: dict[str, Any] = {}
        for file in sorted(folder.glob("model*.safetensors")):
            try:
                held: Any = opened.enter_context(safe_open(file, framework="pt"))
            except SafetensorError as error:
                raise LossmithError(
                    f"{file} is damaged: {str(error).splitlines()[0]}",
                    got=f"{file.stat().st_size:,} bytes",
                    expected="a whole file of weights, and no pointer to one that was not fetched",
                    fix="lossmith merge makes it anew; one that was downloaded has to be fetched again",
                ) from error
            places.update(dict.fromkeys(held.keys(), held))
        for name in sorted(places):
            yield name, places[name].get_tensor(name)

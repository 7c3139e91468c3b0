"""Named axes for annotations; checked while the tests run, plain words otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:  # the checker comes with the test dependencies

        class _Shape:
            def __class_getitem__(cls, _: Any) -> type[Tensor]:
                return Tensor

        Bool = Float = Int = _Shape

__all__ = ["Bool", "Float", "Int"]

"""With which tokens a model begins what it writes."""

from __future__ import annotations

from typing import Any


def first_tokens(model: Any) -> dict[str, int]:
    """Ids by GenerationConfig's names, of an encoder-decoder; empty for a decoder, which continues its prompt.

    They are facts of the model, as its generation configuration or else its own configuration has them.
    """
    found: dict[str, int] = {}
    if not model.config.is_encoder_decoder:
        return found
    for name in ("decoder_start_token_id", "forced_bos_token_id"):
        given = [getattr(place, name, None) for place in (model.generation_config, model.config)]
        if (token := next((each for each in given if each is not None), None)) is not None:
            found[name] = int(token)
    return found

"""The pieces of a training put together: model, rows, objective, trainer; then fitted and saved."""

from __future__ import annotations

import logging

logger = logging.getLogger("lossmith")

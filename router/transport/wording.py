"""What the text of an error becomes before it is shown: one short line without a secret."""

from __future__ import annotations

from router.redact import redact

__all__ = ["said"]

LONGEST = 200  # characters: some errors carry whole heads of what the server sent


def said(error: BaseException) -> str:
    """What the error says, or what it is if it says nothing."""
    return " ".join(redact(str(error)).split())[:LONGEST] or type(error).__name__

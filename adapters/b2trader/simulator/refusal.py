"""What the venue raises inside when it says no."""

from __future__ import annotations

__all__ = ["Refusal", "invalid", "not_found", "unauthorized"]


class Refusal(Exception):
    """The venue says no. status: as in HTTP; code and message: what an error body says (not documented, so assumed)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def invalid(message: str) -> Refusal:
    return Refusal(400, "validation_error", message)


def unauthorized() -> Refusal:
    return Refusal(401, "unauthorized", "Unauthorized")


def not_found(code: str = "not_found") -> Refusal:
    return Refusal(404, code, "Not Found")

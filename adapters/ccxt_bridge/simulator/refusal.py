"""What the venue raises inside when it says no: an HTTP status, and Binance's code and words."""

from __future__ import annotations

from aiohttp import web

__all__ = ["Refusal"]


class Refusal(Exception):
    """The venue says no."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    def response(self) -> web.Response:
        return web.json_response({"code": self.code, "msg": self.message}, status=self.status)


def unknown_order() -> Refusal:
    """Of a cancel: filled, cancelled and unknown orders alike."""
    return Refusal(-2011, "Unknown order sent.")


def no_such_order() -> Refusal:
    """Of a query."""
    return Refusal(-2013, "Order does not exist.")


def malformed(name: str) -> Refusal:
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def rejected(words: str) -> Refusal:
    return Refusal(-2010, words)


def worded(word: str) -> Refusal:
    """A code and its message, as "-2010 Duplicate order sent."; with the status in which the venue sends it."""
    code, _, message = word.partition(" ")
    return Refusal(int(code), message, 401 if code in {"-2014", "-2015"} else 400)


def in_place_of(status: int) -> Refusal:
    """What Binance says with a status of which only the number was asked for."""
    if status in {418, 429}:
        return Refusal(-1003, "Too many requests; current limit is 6000 request weight per 1 MINUTE.", status)
    if status >= 500:
        return Refusal(-1001, "Internal error; unable to process your request. Please try again.", status)
    return Refusal(-1000, "An unknown error occurred while processing the request.", status)

"""Past one machine: a gateway on NATS, and the Router that strategies reach it by. What is named here is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from router.cluster.broker.credentials import Credentials
    from router.cluster.serving.gateway import Gateway
    from router.cluster.strategy.remote import RemoteRouter

__all__ = ["Credentials", "Gateway", "RemoteRouter"]

_HOMES: Final = {"Credentials": "broker.credentials", "Gateway": "serving.gateway", "RemoteRouter": "strategy.remote"}
_EXTRA: Final = frozenset({"nats", "nkeys"})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ImportError(f"{name} needs {error.name}: pip install 'venue-router[cluster]'", name=error.name) from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

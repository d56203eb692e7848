"""Making ccxt's exchange object ours: found by name or taken as it is, and then without anything that sends by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any, Final

from router.errors import VenueError
from router.urls import checked_url

__all__ = ["CREDENTIALS", "configure", "find", "first_url", "secrets"]

CREDENTIALS: Final = (
    "apiKey",
    "secret",
    "password",
    "uid",
    "login",
    "walletAddress",
    "privateKey",
    "token",
    "twofa",
    "accountId",
)
PUBLIC: Final = {"walletAddress", "uid", "accountId"}
OWN_REPEATS: Final = {"maxRetriesOnFailure", "maxRetriesOnFailureDelay"}
OWN_PROXIES: Final = "proxyUrl", "httpProxy", "httpsProxy", "socksProxy", "http_proxy", "https_proxy", "aiohttp_proxy"
OWN_INTEREST: Final = {"builderFee": False, "refSet": True}
"""Nobody has asked for a fee or a referral for ccxt's makers; some exchanges have them signed and sent unasked."""
_SELF = re.compile(r"\bself\b")
_ORIGIN = re.compile(r"^https?://[^/]+")


def _ccxt() -> ModuleType:
    """ccxt, which takes a second to import, so that only who builds a Ccxt does it."""
    try:
        return import_module("ccxt.async_support")
    except ImportError as error:
        raise VenueError("ccxt", f"the library ccxt is missing ({error}): pip install 'venue-router[ccxt]'") from None


def find(exchange: Any, credentials: Mapping[str, str], options: Mapping[str, Any]) -> Any:
    """The exchange object: made of a name, or the one that was given. Raises ValueError or TypeError."""
    library = _ccxt()
    if isinstance(exchange, str):
        if exchange not in library.exchanges:
            raise ValueError(f"ccxt: exchange was {exchange!r}; known: {', '.join(library.exchanges)}")
        unknown = sorted(set(credentials) - set(CREDENTIALS))
        if unknown:
            raise ValueError(f"ccxt: credentials had {', '.join(unknown)}; known: {', '.join(CREDENTIALS)}")
        return getattr(library, exchange)({**credentials, "options": dict(options)})
    if not isinstance(exchange, library.Exchange) or not iscoroutinefunction(exchange.fetch2):
        kind = f"the class {exchange.__name__}" if isinstance(exchange, type) else f"a {type(exchange).__name__}"
        raise TypeError(f"ccxt: exchange was {kind}; pass a name, or an exchange of ccxt.async_support")
    if credentials or options:
        raise ValueError("ccxt: credentials and options belong to a name; an exchange object has its own")
    return exchange


def configure(exchange: Any, url: str | None) -> None:
    """No repeats, no throttle, no log, no floats; and another address, if there is one. Raises ValueError."""
    missing = [name for name, needed in exchange.requiredCredentials.items() if needed and not getattr(exchange, name)]
    if missing:
        raise ValueError(f"ccxt: {exchange.id} needs {', '.join(missing)}")
    proxies = [name for name in OWN_PROXIES if getattr(exchange, name, None)]
    if proxies or exchange.check_proxy_url_settings() is not None:
        raise ValueError(f"ccxt: {', '.join(proxies) or 'proxyUrl'} was set; proxies are not supported here")
    exchange.enableRateLimit = exchange.verbose = exchange.returnResponseHeaders = False
    exchange.fetchHistoryCacheSize = 0
    exchange.number = str
    _forget_repeats(exchange.options)
    exchange.options.update(OWN_INTEREST)
    _restore(exchange.exceptions or {})
    if exchange.feature_value_by_type("spot", None, "fetchCurrencies", "private"):
        exchange.has["fetchCurrencies"] = False  # a key need not be allowed to see the wallet to place and cancel
    if isinstance(exchange.options.get("fetchOpenOrders"), dict):  # Binance's warning, which it raises
        exchange.options["fetchOpenOrders"]["warnWithoutSymbol"] = False
    if url is not None:
        address = checked_url(url, "ccxt", scheme="https").rstrip("/")
        exchange.urls["api"] = _moved(exchange.urls["api"], address)


def _forget_repeats(options: dict[str, Any]) -> None:
    """The repeats of ccxt's own can be set for all, and for each path."""
    for name in OWN_REPEATS & set(options):
        del options[name]
    for each in options.values():
        if isinstance(each, dict):
            _forget_repeats(each)


def _restore(errors: dict[str, Any]) -> None:
    """The exchange's words, by which ccxt knows its errors. Its Python is made of TypeScript, whose "this" became "self" there."""
    for words, kind in list(errors.items()):
        if isinstance(kind, dict):
            _restore(kind)
        else:
            errors.setdefault(_SELF.sub("this", words), kind)


def _moved(urls: Any, address: str) -> Any:
    if isinstance(urls, Mapping):
        return {name: _moved(each, address) for name, each in urls.items()}
    return _ORIGIN.sub(address, urls) if isinstance(urls, str) else urls


def first_url(exchange: Any) -> str | None:
    """Scheme and host of its private REST API, as far as it is named."""
    urls = exchange.urls.get("api")
    named = urls.get("private", urls) if isinstance(urls, Mapping) else urls
    for text in _texts(named):
        found = _ORIGIN.match(exchange.implode_hostname(text))
        if found and "{" not in found[0]:
            return checked_url(found[0], "ccxt", scheme="https")
    return None


def _texts(urls: Any) -> Iterable[str]:
    if isinstance(urls, Mapping):
        for each in urls.values():
            yield from _texts(each)
    elif isinstance(urls, str):
        yield urls


def secrets(exchange: Any) -> list[str]:
    """The values that must never be shown."""
    held = (getattr(exchange, name, None) for name in CREDENTIALS if name not in PUBLIC)
    return [value for value in held if isinstance(value, str) and value]

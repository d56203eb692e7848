"""The way to one origin over HTTP: its address, the proxy that the environment names, and what every request there carries.

The proxy is looked up once, when the route is made: http_proxy, https_proxy, all_proxy and no_proxy, in lower or upper case,
as urllib reads them. There is no way through a SOCKS proxy here, and none around it: where nothing but socks_proxy is named,
which the WebSocket transport uses, or all_proxy is SOCKS, requests are refused. aiohttp's own `trust_env` is never used, because it takes passwords from ~/.netrc as well. The user and
password of a proxy go to that proxy and nowhere else, no error and no repr included.
"""

from __future__ import annotations

import asyncio
import re
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from router.errors import TransportError

__all__ = ["TARGET", "Route", "parsed", "proxy_for"]

SCHEMES = {"http", "https"}
TARGET = re.compile(r'/[!"$-~]*')  # visible ASCII, and no fragment


def parsed(text: str) -> URL:
    """Raises TransportError for what is no usable URL of HTTP."""
    try:
        url = URL(text, encoded=True)
        usable = url.scheme in SCHEMES and bool(url.host) and url.port is not None and "#" not in text
    except ValueError:
        usable = False
    if not (usable and TARGET.fullmatch(url.raw_path_qs)):
        raise TransportError("a request names no http:// or https:// URL of visible ASCII characters", sent=False)
    return url


class Route:
    """How requests get to the origin of a URL. Raises TransportError when there is no way."""

    def __init__(self, url: URL) -> None:
        proxy, password = proxy_for(url)
        self.address = f"{url.host}:{url.port}"
        self.request = _template(url, proxy, password)
        """What a connector makes a connection from, and knows one again by."""
        self.headers: CIMultiDict[str] = CIMultiDict(Host=self.request.headers["Host"])
        self.prefix = ""
        """What stands before the path in the first line of a request."""
        if (
            proxy is not None and url.scheme == "http"
        ):  # such a proxy reads the requests; through TLS they are tunnelled
            self.prefix = str(url.origin())
            self.headers.update({"Proxy-Authorization": password} if password else {})


def _template(url: URL, proxy: URL | None, password: str) -> aiohttp.ClientRequest:
    # with the host, which the connector would add: connections are known again by what stands here
    told = {"Proxy-Authorization": password, "Host": url.host_port_subcomponent or ""} if password else None
    return aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop(), proxy=proxy, proxy_headers=told)


def proxy_for(url: URL) -> tuple[URL | None, str]:
    """The proxy to an origin, without its user and password; and these, as the header that they go in ("" for none)."""
    if proxy_bypass(f"{url.host}:{url.port}"):
        return None, ""
    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named and proxies.get("socks"):
        raise TransportError(
            f"the environment names only a SOCKS proxy for {url.scheme}://, and requests cannot go through it",
            sent=False,
        )
    if not named:
        return None, ""
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
        usable = proxy.scheme in SCHEMES and bool(proxy.host)
        password = aiohttp.encode_basic_auth(proxy.user or "", proxy.password or "") if proxy.user else ""
    except ValueError:
        usable = False
    if not usable:
        raise TransportError(
            f"the proxy of {url.scheme}:// in the environment is no http:// or https:// URL", sent=False
        )
    return proxy.origin(), password

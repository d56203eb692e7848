"""What `router gateway` does: it runs a gateway until Ctrl-C or SIGTERM, and says what that does, a line each."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from router.cli.choosing import mistaken
from router.cli.exits import DONE, NOT_SENT, USAGE, Failure
from router.cli.telling import complain, say
from router.console import line_json, write
from router.errors import ConfigError, GatewayError, RouterError

if TYPE_CHECKING:
    from router.cluster.broker.credentials import Credentials
    from router.cluster.serving.gateway import Gateway, Note

__all__ = ["options", "serve"]

F = TypeVar("F", bound=Callable[..., Any])


def options(command: F) -> F:
    """Those of the running, but for --config and --json."""
    for option in (
        click.option("--name", metavar="NAME", help="Of this gateway.  [default: its host and process]"),
        click.option(
            "--replicas", type=click.IntRange(1, 5), default=1, metavar="N", help="NATS nodes that keep the leases."
        ),
        click.option(
            "--ttl", type=float, default=1.0, metavar="SECONDS", help="Of the leases: the same for all gateways."
        ),
        click.option(
            "--credentials",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Who it is on NATS, and where that is.",
        ),
        click.option("--nats", metavar="URL", help="Where NATS is.  [default: what the credentials say]"),
    ):
        command = option(command)
    return command


def serve(
    path: Path | None,
    url: str | None,
    credentials: Path | None,
    *,
    ttl: float,
    replicas: int,
    name: str | None,
    as_json: bool,
) -> int:
    """Run it. Raises Failure."""
    who = _credentials(url, credentials)
    gateway = _gateway(path, who, ttl=ttl, replicas=replicas, name=name, tell=_as_json if as_json else _in_words)
    with suppress(KeyboardInterrupt):  # where the loop takes no signal handlers
        asyncio.run(_run(gateway))
    return DONE


def _credentials(url: str | None, path: Path | None) -> Credentials:
    """url: in the place of what the file says."""
    try:
        from router.cluster.broker.credentials import Credentials  # noqa: PLC0415 - needs what comes with an extra

        if path is None and url is None:
            raise Failure(
                "where is NATS? Name a file with --credentials, or a server of this machine with --nats", USAGE
            )
        found = Credentials.read(path) if path is not None else Credentials(url=str(url), strategy="gateway")
        return found if url is None else attrs.evolve(found, url=(url,))
    except ConfigError as error:
        raise mistaken(error) from None
    except (ValueError, ImportError) as error:
        raise Failure(str(error), USAGE) from None


def _gateway(path: Path | None, who: Credentials, **more: Any) -> Gateway:
    from router import config  # noqa: PLC0415 - not needed for the help

    found = config.find() if path is None else path
    if found is None:
        raise Failure("there is no router.toml: say where it is with --config or ROUTER_CONFIG, or write one", USAGE)
    try:
        from router.cluster.serving.gateway import Gateway  # noqa: PLC0415 - needs what comes with an extra

        return Gateway.from_config(found, who, **more)
    except ConfigError as error:
        raise mistaken(error) from None
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", USAGE) from None
    except (RouterError, ValueError, TypeError, ImportError) as error:
        raise Failure(str(error), USAGE) from None


async def _run(gateway: Gateway) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    opening, stopping = loop.create_task(gateway.open()), loop.create_task(stopped.wait())
    try:
        await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
            await stopping
    except GatewayError as error:
        raise Failure(str(error), NOT_SENT) from None
    finally:
        opening.cancel()
        stopping.cancel()
        await asyncio.gather(opening, stopping, return_exceptions=True)
        await gateway.close()


def _in_words(note: Note) -> None:
    tenure = f" (tenure {note.tenure})" if note.what == "owner" else ""
    (complain if note.is_trouble else say)(f"{note.venue or 'gateway'}: {note.text}{tenure}")


def _as_json(note: Note) -> None:
    write(f"{line_json(attrs.asdict(note))}\n")

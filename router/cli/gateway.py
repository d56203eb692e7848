"""`router gateway`: own venues for strategies on other machines, and set up what that needs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from router.cli import gatewaying, options
from router.cli.exits import DONE, USAGE, Failure
from router.console import write

__all__ = ["command"]

EXTRA = "gateways need NATS's client: pip install 'venue-router[cluster]'"


@click.group("gateway", invoke_without_command=True)
@options.config
@gatewaying.options
@options.as_json("what it does, one object per line")
def command(path: Path | None, nats: str | None, credentials: Path | None, **how: Any) -> int:
    """Own venues for strategies on other machines, until Ctrl-C or SIGTERM.

    The venues are those of router.toml, which names a journal. Of several gateways one owns each venue, and the others stand by.

    \b
    Exit codes:
      0  ended by Ctrl-C or SIGTERM; what it owned was given back
      2  usage: bad input, a mistake in router.toml or in the credentials
      4  NATS does not let it in, or can't be trusted
    """  # noqa: D301 - click reads the \b
    return DONE if click.get_current_context().invoked_subcommand else gatewaying.serve(path, nats, credentials, **how)


@command.command("init")
@click.argument("folder", metavar="DIR")
@click.option(
    "--venue", "venues", multiple=True, required=True, metavar="NAME", help="A venue of router.toml (repeatable)."
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME=ROLE:VENUES",
    help="Who may do what, as alpha=trade:qfex,dmex (repeatable). ROLE is trade, cancel-only or view.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The name or address at which NATS is reached.")
@click.option("--port", default=4222, show_default=True, help="Where it listens; further nodes one above the other.")
@click.option(
    "--cluster", "nodes", default=1, show_default=True, metavar="N", help="How many nodes NATS has: 1, 3 or 5."
)
@click.option(
    "--resume",
    multiple=True,
    default=["main"],
    show_default=True,
    metavar="NAME",
    help="A name for events(resume=NAME) that is kept from other strategies (repeatable).",
)
def init(folder: str, strategies: tuple[str, ...], **plan: Any) -> int:
    """Write what NATS, the gateways and the strategies need into the folder DIR: configuration, certificates, credentials.

    Nothing is overwritten. See docs/deploy.md.
    """
    from router.cluster.setup.setting_up import Plan, granted, set_up  # noqa: PLC0415 - what it needs is in the extra

    try:
        written = set_up(folder, Plan(strategies=granted(strategies), **plan))
    except ImportError as error:
        raise Failure(f"{EXTRA} ({error})", USAGE) from None
    except (ValueError, OSError) as error:
        raise Failure(str(error), USAGE) from None
    write("".join(f"wrote {path}\n" for path in written.paths))
    write(_next(written))
    return DONE


def _next(written: Any) -> str:
    """What to do with it."""
    gateway = shlex.quote(str(written.gateway))
    lines = [
        "Next:",
        *(f"  nats-server -c {shlex.quote(str(path))}" for path in written.configurations),
        f"  router gateway --config router.toml --credentials {gateway}",
        f"A strategy gets its own file and {written.authority.name}, both in one directory, and nothing else of this folder.",
        f"Keep {written.authority_key.name} where nobody gets at it: whoever has it can pass for the server.",
        f"The certificates are good until {written.expires:%Y-%m-%d}.",
    ]
    return "".join(f"{line}\n" for line in lines)

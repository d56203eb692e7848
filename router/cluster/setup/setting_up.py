"""`router gateway init`: a folder with everything that NATS, the gateways and the strategies need to find and trust each other.

Written are a configuration for nats-server (or one for each node of a cluster), its certificate with the authority that made it,
and a file of credentials for the gateways and for each strategy. Nothing is overwritten; if not everything can be written, nothing is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen

from router.cluster.broker.credentials import Credentials
from router.cluster.setup.rights import (
    API,
    GATEWAY,
    RESUME,
    Export,
    Permissions,
    Role,
    exports,
    of_gateway,
    of_strategy,
)
from router.cluster.subjects import token
from router.redact import Secret

__all__ = ["Plan", "Written", "granted", "set_up"]

CLUSTER_PORT: Final = 2000  # above the clients'
MOST_NODES: Final = 9
MOST_PAYLOAD: Final = 1024 * 1024
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?|::1")


def _venues(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token(name, "venue") for name in names))


def _resumes(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token(name, "resume") for name in names))


@frozen(kw_only=True)
class Plan:
    """What is to be set up. strategies: what each may do, by venue. nodes: of the cluster. Raises ValueError."""

    venues: tuple[str, ...] = field(converter=_venues)
    strategies: Mapping[str, Mapping[str, Role]]
    host: str = "127.0.0.1"
    port: int = 4222
    nodes: int = 1
    resume: tuple[str, ...] = field(default=RESUME, converter=_resumes)

    def __attrs_post_init__(self) -> None:
        if not self.venues:
            raise ValueError("venue was not given; name those of router.toml, with --venue")
        if not _HOST.fullmatch(self.host):
            raise ValueError(f"host was {self.host!r}; it is a name or an address, without a port")
        last = self.port + self.nodes - 1 + (CLUSTER_PORT if self.nodes > 1 else 0)
        if self.port < 1 or last > 65_535:
            raise ValueError(f"port was {self.port}; the ports up to {last} must be from 1 to 65535")
        if not (self.nodes % 2 and 1 <= self.nodes <= MOST_NODES):
            raise ValueError(
                f"cluster was {self.nodes}; it has 1, 3 or 5 nodes: an even number survives no more than one less"
            )
        for name, roles in self.strategies.items():
            _check_strategy(name, roles, self.venues)

    @property
    def urls(self) -> tuple[str, ...]:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return tuple(f"tls://{host}:{self.port + number}" for number in range(self.nodes))


@frozen
class Written:
    """What was set up. configurations: of nats-server's nodes. expires: the certificates. paths: everything."""

    configurations: tuple[Path, ...]
    gateway: Path
    strategies: tuple[Path, ...]
    authority: Path
    authority_key: Path
    expires: datetime
    paths: tuple[Path, ...]


def granted(texts: Iterable[str]) -> dict[str, dict[str, Role]]:
    """What strategies may do: "NAME=ROLE:VENUE,VENUE" each. A name may come again with another role. Raises ValueError."""
    found: dict[str, dict[str, Role]] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        role, colon, venues = rest.partition(":")
        if not (equals and colon and name and venues) or role not in set(Role):
            raise ValueError(f"strategy was {text!r}; it is NAME=ROLE:VENUE,VENUE with a role of {', '.join(Role)}")
        roles = found.setdefault(name, {})
        for venue in venues.split(","):
            if roles.setdefault(venue, Role(role)) is not Role(role):
                raise ValueError(f"strategy was {text!r}; {name} has the role {roles[venue]} at {venue} already")
    return found


def _check_strategy(name: str, roles: Mapping[str, Role], venues: Sequence[str]) -> None:
    if token(name, "strategy") == GATEWAY:
        raise ValueError(f"strategy was {name!r}, which is the name of the gateways; give it another")
    unknown = sorted(set(roles) - set(venues))
    if unknown:
        raise ValueError(f"strategy {name} has a role at {', '.join(unknown)}, which no --venue names")


def set_up(folder: str | Path, plan: Plan) -> Written:
    """Write it all. Raises ValueError, FileExistsError, OSError."""
    from router.cluster.setup.certificates import made  # noqa: PLC0415 - cryptography takes a while, and comes with the extra

    folder = Path(folder).absolute()
    seeds = {name: _new_seed() for name in (GATEWAY, *plan.strategies)}
    certificates = made(plan.host)
    files = {
        folder / "ca.pem": certificates.authority,
        folder / "ca-key.pem": certificates.authority_key,
        folder / "server.pem": certificates.server,
        folder / "server-key.pem": certificates.server_key,
    }
    configurations = _configurations(folder, plan, {name: _public(seed) for name, seed in seeds.items()})
    files |= {path: text.encode() for path, text in configurations.items()}
    given = {folder / f"{name}.toml": _credentials(plan, name, seed) for name, seed in seeds.items()}
    _write(folder, files, given)
    gateway, *strategies = given
    return Written(
        tuple(configurations),
        gateway,
        tuple(strategies),
        folder / "ca.pem",
        folder / "ca-key.pem",
        certificates.expires,
        (*files, *given),
    )


def _credentials(plan: Plan, name: str, seed: Secret) -> Credentials:
    found = Credentials(url=plan.urls, strategy=name, seed=seed, ca=Path("ca.pem"))
    return found if name == GATEWAY else evolve(found, api=API)


def _write(folder: Path, files: Mapping[Path, bytes], given: Mapping[Path, Credentials]) -> None:
    """All or nothing."""
    there = [path for path in (*files, *given) if os.path.lexists(path)]
    if there:
        raise FileExistsError(
            f"{', '.join(map(str, there))} is there already; nothing is overwritten, give another folder"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for path, text in files.items():
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            written.append(path)
            with os.fdopen(file, "wb") as stream:
                stream.write(text)
        for path, credentials in given.items():
            credentials.written(path)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


# -- keys


def _new_seed() -> Secret:
    import nkeys  # type: ignore[import-untyped]  # noqa: PLC0415 - it comes with the extra

    return Secret(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode())


def _public(seed: Secret) -> str:
    import nkeys  # noqa: PLC0415 - see above

    return str(nkeys.from_seed(bytearray(seed.reveal().encode())).public_key.decode())


# -- the server's configuration


def _configurations(folder: Path, plan: Plan, keys: Mapping[str, str]) -> dict[Path, str]:
    users = {name: _user(name, key, _permissions(plan, name)) for name, key in keys.items()}
    accounts = _accounts(plan, users.pop(GATEWAY), users.values())
    found = {}
    for number in range(plan.nodes):
        suffix = f"-{number + 1}" if plan.nodes > 1 else ""
        found[folder / f"nats-server{suffix}.conf"] = _configuration(folder, plan, number, suffix, accounts)
    return found


def _permissions(plan: Plan, name: str) -> Permissions:
    if name == GATEWAY:
        return of_gateway()
    return of_strategy(name, plan.strategies[name], plan.strategies, plan.resume)


def _configuration(folder: Path, plan: Plan, number: int, suffix: str, accounts: str) -> str:
    return f"""\
# Written by `router gateway init`. Start it with: nats-server -c {folder / f"nats-server{suffix}.conf"}
# Needs nats-server 2.12 or later: use the official release. No user has any right that is not named below.

server_name: {json.dumps(f"router{suffix}")}
listen: {json.dumps(_address(plan.host, plan.port + number))}
max_payload: {MOST_PAYLOAD}

tls {{
{_tls(folder)}
}}

jetstream {{
  store_dir: {json.dumps(str(folder / f"jetstream{suffix}"))}
  sync_interval: always  # what was acknowledged survives a power cut
}}
{_cluster(folder, plan, number)}
{accounts}
"""


def _tls(folder: Path) -> str:
    return "\n".join(
        [
            f"  cert_file: {json.dumps(str(folder / 'server.pem'))}",
            f"  key_file: {json.dumps(str(folder / 'server-key.pem'))}",
            '  min_version: "1.2"',
            "  timeout: 5",
        ]
    )


def _cluster(folder: Path, plan: Plan, number: int) -> str:
    """The nodes know each other by certificates as well."""
    if plan.nodes == 1:
        return ""
    routes = [f"nats-route://{_address(plan.host, plan.port + CLUSTER_PORT + each)}" for each in range(plan.nodes)]
    return f"""
cluster {{
  name: "router"
  listen: {json.dumps(_address(plan.host, plan.port + CLUSTER_PORT + number))}
  routes: {json.dumps(routes)}
  tls {{
{_tls(folder)}
  ca_file: {json.dumps(str(folder / "ca.pem"))}
  verify: true
  }}
}}
"""


def _accounts(plan: Plan, gateway: str, strategies: Iterable[str]) -> str:
    """Rule 3 of router.cluster.setup.rights."""
    passing = exports(plan.venues)
    exported, imported = map(_export, passing), map(_import, passing)
    return "\n".join(
        [
            "accounts {",
            *("  GATEWAYS {", "    jetstream: enabled", "    users: [", gateway, "    ]"),
            *("    exports: [", *(f"      {each}" for each in exported), "    ]", "  }"),
            *("  STRATEGIES {", "    users: [", *strategies, "    ]"),
            *("    imports: [", *(f"      {each}" for each in imported), "    ]", "  }"),
            "}",
        ]
    )


def _export(each: Export) -> str:
    what = "stream" if each.heard else "service"
    return f"{{ {what}: {json.dumps(each.meant)}{', response_type: stream' if each.several else ''} }}"


def _import(each: Export) -> str:
    what = "stream" if each.heard else "service"
    renamed = "" if each.subject == each.meant else f", to: {json.dumps(each.subject)}"
    return f"{{ {what}: {{ account: GATEWAYS, subject: {json.dumps(each.meant)} }}{renamed} }}"


def _user(name: str, key: str, permissions: Permissions) -> str:
    return f"""\
    {{ # {name}
      nkey: {key}
      permissions: {{
        publish: {{
          allow: [
{_listed(permissions.publish)}
          ]
          deny: [
{_listed(permissions.denied)}
          ]
        }}
        subscribe: {{
          allow: [
{_listed(permissions.subscribe)}
          ]
        }}
      }}
    }}"""


def _listed(names: Iterable[str]) -> str:
    return "\n".join(f"            {json.dumps(name)}" for name in names)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

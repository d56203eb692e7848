"""Uses the installed venue pebble as a strategy and as the command line do, and prints what came of it as JSON."""

import asyncio
import json
import os
import sys

from router import Router, registry


async def main():
    async with registry.simulator("pebble")() as venue:
        venue.orders |= {"one", "two"}
        adapter = registry.from_environ("pebble", venue.environment)
        async with Router({"mine": adapter}) as router:
            reports = [await router.cancel("mine", order) for order in ("one", "one-more")]
        code, out = await command("cancel", "pebble", "two", "--json", environment=venue.environment)
        told = {
            "adapter": type(adapter) is registry.adapter("pebble"),
            "outcomes": [report.outcome for report in reports],
            "command": [code, json.loads(out)["outcome"]],
            "on the wire": [item.message for item in venue.received],
            "left": sorted(venue.orders),
        }
    print(json.dumps(told))  # noqa: T201 - what it is for


async def command(*arguments, environment):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.cli", *arguments), env=os.environ | environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode, out


asyncio.run(main())

"""A disk whose power can be cut: an ext4 of its own in a file, shut down as it is, so that what was not synced is gone.

It needs root, loop devices and mkfs.ext4. What it cannot show is a disk that lies about its own cache.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
from contextlib import asynccontextmanager

from attrs import define

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
SIZE = 64 * 2**20


class NoPowerCuts(Exception):
    """This machine has none to offer."""


@define(eq=False)
class Disk:
    """folder: where its files are, while it is mounted."""

    image: object
    folder: object

    async def cut(self):
        """The power goes, and comes back."""
        await asyncio.to_thread(self._cut)

    def _cut(self):
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)
        self.unmount()
        self.mount()

    def mount(self):
        _run("mount", "-o", "loop", self.image, self.folder)

    def unmount(self):
        _run("umount", self.folder)


@asynccontextmanager
async def disk(folder):
    """Raises NoPowerCuts, with the reason, where there can be none."""
    image, mounted = folder / "disk.img", folder / "disk"
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        raise NoPowerCuts("a disk of our own needs root and mkfs.ext4")
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE)
    made = Disk(image, mounted)
    try:
        await asyncio.to_thread(_run, "mkfs.ext4", "-q", "-F", image)
        await asyncio.to_thread(made.mount)
    except subprocess.CalledProcessError as error:
        raise NoPowerCuts(f"no loop device: {error.stderr.decode(errors='replace').strip()}") from None
    try:
        yield made
    finally:
        await asyncio.to_thread(made.unmount)
        image.unlink()


def _run(*command):
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=30)  # noqa: S603 - our own words

"""Fetching images into a machine."""

from __future__ import annotations

from lab.toolbox import Invocation

PULL_SECONDS = 3.0


async def pull(call: Invocation, image: str) -> str:
    """Fetch an image unless it is there; returns why that failed, or ""."""
    if image in call.machine.images:
        return ""
    if image.rpartition("/")[2] in call.machine.faults.images_missing:
        return f'failed to pull and unpack image "{image}": failed to resolve image: {image}: not found'
    if call.machine.faults.image_pull_fails:
        await call.pause(15)
        host, _, rest = image.partition("/")
        name, _, tag = rest.rpartition(":")
        return (
            f'failed to pull and unpack image "{image}": failed to resolve image: failed to do request: '
            f'Head "https://{host}/v2/{name}/manifests/{tag}": dial tcp: lookup {host}: i/o timeout'
        )
    await call.pause(PULL_SECONDS)
    call.machine.images.add(image)
    return ""

"""The images that an upgrade needs, and where a machine can have them from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cluster.report import Unread
from cluster.versions import KubeVersion


@dataclass(frozen=True, slots=True)
class WantedImages:
    """Those of one release: its own have its version, the others each a tag; "" for one not wanted or not known."""

    version: KubeVersion
    etcd: str = ""
    coredns: str = ""
    pause: str = ""


class ImageState(StrEnum):
    """What one machine told of one image."""

    PRESENT = "present"  # it is there: nobody is asked for it
    OFFERED = "offered"  # by the registry of its name
    ABSENT = "absent"  # that registry has no such image, in its own words
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ImageOffer:
    """One image as one machine told of it."""

    image: str
    state: ImageState
    reason: str = ""

    @property
    def name(self) -> str:
        """`kube-proxy`: what kubeadm calls it, wherever it comes from."""
        return self.image.rpartition("/")[2].partition(":")[0]

    @property
    def registry(self) -> str:
        return self.image.partition("/")[0]


@dataclass(frozen=True, slots=True)
class ReleaseImages:
    """What one machine told of one release's images, or why nothing."""

    machine: str
    version: KubeVersion
    offers: tuple[ImageOffer, ...] | Unread

"""The programs on the lab's machines, by name."""

from __future__ import annotations

from collections.abc import Mapping

from lab.toolbox import Invocation, Tool, ToolError
from lab.tools.aptcache import apt_cache, apt_mark
from lab.tools.aptget import apt_get
from lab.tools.cri import containerd, crictl, ctr
from lab.tools.disk import df
from lab.tools.dpkg import dpkg, dpkg_deb, dpkg_query
from lab.tools.etcd import etcdctl, etcdutl
from lab.tools.keys import gpg, openssl
from lab.tools.kubeprograms import kubeadm, kubectl, kubelet
from lab.tools.systemd import reboot, systemctl
from lab.tools.transient import journalctl, systemd_run
from lab.tools.web import curl


async def _dangerous(call: Invocation) -> int:
    """Never let a command of the lab reach the host's own program of that name."""
    raise ToolError(f"/bin/sh: {call.tool}: not found\n", 127)


TOOLS: Mapping[str, Tool] = {
    "apt-cache": apt_cache,
    "apt-get": apt_get,
    "apt-mark": apt_mark,
    "containerd": containerd,
    "crictl": crictl,
    "ctr": ctr,
    "curl": curl,
    "df": df,
    "dpkg": dpkg,
    "dpkg-deb": dpkg_deb,
    "dpkg-query": dpkg_query,
    "etcdctl": etcdctl,
    "etcdutl": etcdutl,
    "gpg": gpg,
    "journalctl": journalctl,
    "kubeadm": kubeadm,
    "kubectl": kubectl,
    "kubelet": kubelet,
    "openssl": openssl,
    "reboot": reboot,
    "systemctl": systemctl,
    "systemd-run": systemd_run,
    **dict.fromkeys(("apt", "halt", "poweroff", "service", "shutdown", "wget"), _dangerous),
}

"""A whole lab inside one event loop: its cluster, and the machines under it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from lab.apiserver import ApiServer, Availability
from lab.clock import LabClock
from lab.cluster import Cluster
from lab.inhabitants import CLUSTER_NAME, settle
from lab.kubelet import Kubelet
from lab.machines import Machine
from lab.objects import ObjectStore
from lab.packages import Repository
from lab.provision import NODE_SCRIPT, install, write_manifests
from lab.scenarios import Scenario
from lab.sshd import SshDaemon
from lab.states import STATES
from lab.staticpods import Seat
from lab.toolbox import ExecLog, Toolbox
from lab.tools import TOOLS

PACKAGES_AT = "http://packages.lab:8000/core:/stable:"
POOL_LABEL = "lockkeeper.dev/pool"
POOL = "workers"
APISERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"
SETTLE_SECONDS = 30.0  # real; until the first pods run


class Site:
    """Everything of one lab; it also is kubeadm's view of the cluster."""

    def __init__(self, scenario: Scenario, clock: LabClock, directory: Path) -> None:
        self.scenario = scenario
        self.state = STATES[scenario.state]
        self.clock = clock
        self.directory = directory
        self.log = ExecLog()
        self.toolbox = Toolbox(TOOLS, self.log)
        self.repository = Repository(PACKAGES_AT, dict(scenario.offered))
        self.machines: dict[str, Machine] = {}
        self.job_fails = False
        self.key_file = directory / "upgrader_key"
        directory.mkdir(parents=True, exist_ok=True)
        self.cluster = Cluster(clock, directory)

    # ---- what kubeadm sees

    @property
    def store(self) -> ObjectStore:
        return self.cluster.store

    @property
    def endpoint(self) -> str:
        """The address that kubeconfigs on machines name."""
        servers = list(self.cluster.servers.values())
        host, port = servers[0].address if len(servers) == 1 else self.cluster.balancer.address
        return f"{host}:{port}"

    def reachable(self) -> bool:
        return self.cluster.reachable()

    def served_version(self, machine: str) -> str:
        """The machine's own API server if it answers, else whichever does."""
        own = self.cluster.servers.get(machine)
        if own is not None and own.availability is Availability.UP:
            return own.version
        up = [s for s in self.cluster.servers.values() if s.availability is Availability.UP]
        return up[0].version if up else self.scenario.version

    def control_planes(self) -> Sequence[str]:
        return [n for n in self.scenario.control_plane_names if self.store.peek("Node", n) is not None]

    def alarms(self) -> Sequence[tuple[str, str]]:
        """(member, kind) of what etcd's members have raised: each of them tells all."""
        return [(name, kind) for name, machine in self.machines.items() for kind in machine.faults.etcd_alarms]

    # ---- life

    async def open(self) -> None:
        """Bring everything up; returns when the first pods run."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(self.key_file))
        self.key_file.chmod(0o600)
        authorized = self.directory / "authorized_keys"
        key.write_public_key(str(authorized))
        await self.toolbox.start()
        for name in self.scenario.control_plane_names:
            self.cluster.add_server(name, self.scenario.version)
        for name in (*self.scenario.control_plane_names, *self.scenario.worker_names):
            self.machines[name] = self._machine(name)
        await self.cluster.start()
        for machine in self.machines.values():
            self._join(machine)
            self.state.machine(machine)
            machine.ssh = SshDaemon(machine, authorized)
            await machine.ssh.start()
            if machine.kubelet is not None:
                machine.kubelet.agent.start()
                await machine.kubelet.start()
        settle(self.store, self.scenario, self.endpoint)
        await self.settled()
        await self.state.cluster(self)

    def _machine(self, name: str) -> Machine:
        control_plane = name in self.scenario.control_plane_names
        machine = Machine(
            name=name,
            root=self.directory / "machines" / name,
            address="127.0.0.1",
            control_plane=control_plane,
            clock=self.clock,
            repository=self.repository,
            log=self.log,
        )
        machine.furnish()
        machine.view = self
        machine.program = lambda tool, version: self.toolbox.program(machine, tool, version)
        self.toolbox.equip(machine)
        install(machine, self.scenario.version)
        return machine

    def _join(self, machine: Machine) -> None:
        """Make the machine a node, with static pods if it is a control plane."""
        name = machine.name
        server = self.cluster.servers.get(name)
        roles = ("control-plane",) if server else ()
        number = int(name.lstrip("cpw"))
        labels = {"topology.kubernetes.io/zone": "ab"[(number - 1) % 2]}
        if server is None:
            labels[POOL_LABEL] = POOL
        agent = self.cluster.add_agent(name, self.scenario.version, roles, labels)
        agent.images = machine.images
        seat = self._seat(name, server)
        machine.kubelet = Kubelet(machine, agent, server, seat)
        if server is not None:
            self._furnish_control_plane(machine, seat)

    def _seat(self, name: str, server: ApiServer | None) -> Seat:
        host, port = server.address if server else ("127.0.0.1", 0)
        peers = ",".join(f"{n}=https://127.0.0.1:2380" for n in self.scenario.control_plane_names)
        return Seat(name, host, port, CLUSTER_NAME, peers, self.scenario.outside_etcd)

    def _furnish_control_plane(self, machine: Machine, seat: Seat) -> None:
        write_manifests(machine, seat, self.scenario.version)
        if self.scenario.edited_apiserver and machine.name == "cp1":
            text = machine.read(APISERVER).replace(f":{self.scenario.version}", f":{self.scenario.edited_apiserver}")
            machine.write(APISERVER, text, 0o600)
        self.cluster.write_admin_kubeconfig(machine.path("/etc/kubernetes/admin.conf"), f"https://{self.endpoint}")
        machine.write("/etc/kubernetes/controller-manager.conf", "apiVersion: v1\nkind: Config\n", 0o600)
        if seat.outside_etcd:
            for name in ("etcd/ca.crt", "apiserver-etcd-client.crt", "apiserver-etcd-client.key"):
                machine.write(f"/etc/kubernetes/pki/{name}", "of the lab\n", 0o600)
            return
        for name in ("ca.crt", "server.crt", "server.key", "healthcheck-client.crt", "healthcheck-client.key"):
            machine.write(f"/etc/kubernetes/pki/etcd/{name}", "of the lab\n", 0o600)
        data = machine.path("/var/lib/etcd/member/snap")
        data.mkdir(parents=True)
        (data / "db").write_bytes(b"\0" * 1024 * 1024)

    async def settled(self) -> None:
        """Wait until every pod that was asked for runs."""
        wanted = sum(d["spec"]["replicas"] for d in self.store.each("Deployment"))
        wanted += len(self.machines) * sum(1 for _ in self.store.each("DaemonSet"))
        wanted += sum(len(m.kubelet.running) for m in self.machines.values() if m.kubelet is not None)
        end = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while asyncio.get_running_loop().time() < end:
            pods = list(self.store.each("Pod"))
            if len(pods) >= wanted and all(p["status"].get("phase") == "Running" for p in pods):
                return
            await asyncio.sleep(0.02)
        states = sorted(f"{p['metadata']['name']} {p['status'].get('phase')}" for p in self.store.each("Pod"))
        raise TimeoutError(
            f"the lab's pods do not run after {SETTLE_SECONDS:.0f} s: {', '.join(states)}; run it on a calmer host"
        )

    async def close(self) -> None:
        """Leave no process, port or file descriptor behind."""
        for machine in self.machines.values():
            if machine.ssh is not None:
                await machine.ssh.close()
            await machine.close()
        await self.cluster.stop()
        await self.toolbox.close()


def script_path(machine: Machine) -> str:
    return os.fspath(machine.root / NODE_SCRIPT)

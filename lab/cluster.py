"""A lab cluster in one piece: store, API servers behind a balancer, node agents and controllers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lab.apiserver import ApiServer, Availability
from lab.balancer import Balancer
from lab.clock import LabClock
from lab.controllers import Controllers
from lab.identity import Identities
from lab.nodeagent import NodeAgent
from lab.objects import ObjectStore
from lab.pki import Authority, server_context, write_kubeconfig

ADMIN = "kubernetes-admin"
ADMINS = "kubeadm:cluster-admins"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SERVED_NAMES = ("127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc")


@dataclass
class Cluster:
    """Build it inside a running loop, add machines, then start it."""

    clock: LabClock
    directory: Path
    store: ObjectStore = field(default_factory=ObjectStore)
    identities: Identities = field(default_factory=Identities)
    authority: Authority = field(default_factory=Authority)
    servers: dict[str, ApiServer] = field(default_factory=dict)
    agents: dict[str, NodeAgent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in NAMESPACES:
            labels = {"kubernetes.io/metadata.name": name}
            self.store.put(
                {"kind": "Namespace", "metadata": {"name": name, "labels": labels}, "status": {"phase": "Active"}}
            )
        self._context = server_context(self.authority, self.authority.serve(SERVED_NAMES), self.directory)
        self.controllers = Controllers(self.store, self.clock, self.reachable)
        self.balancer = Balancer(lambda: [server.address for server in self.servers.values()])

    def reachable(self) -> bool:
        """Whether agents and controllers can get through to some API server."""
        return any(server.availability is Availability.UP for server in self.servers.values())

    def add_server(self, node_name: str, version: str) -> ApiServer:
        """The API server of one control-plane machine; `start` opens its port."""
        server = ApiServer(self.store, self.identities, self._context, version)
        self.servers[node_name] = server
        return server

    def add_agent(
        self, node_name: str, version: str, roles: tuple[str, ...] = (), labels: dict[str, str] | None = None
    ) -> NodeAgent:
        """The kubelet of one machine; its Node object is registered at once."""
        agent = NodeAgent(self.store, self.clock, node_name, version, roles, labels=labels, reachable=self.reachable)
        self.agents[node_name] = agent
        return agent

    async def start(self) -> None:
        """Open every port, start every loop."""
        for server in self.servers.values():
            await server.start()
        await self.balancer.start()
        for agent in self.agents.values():
            agent.start()
        self.controllers.start()

    async def stop(self) -> None:
        """Undo `start`."""
        await self.controllers.close()
        for agent in self.agents.values():
            await agent.close()
        await self.balancer.stop()
        for server in self.servers.values():
            await server.stop()

    def write_admin_kubeconfig(self, path: Path, server: str = "") -> Path:
        """A kubeconfig for kubeadm's admin, at the balancer unless another endpoint is named."""
        pair = self.authority.identify(ADMIN, (ADMINS,))
        return write_kubeconfig(path, server or self.balancer.url, self.authority, pair, user=ADMIN)

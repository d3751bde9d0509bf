"""The two loopback listeners, the page's and the API's, and the closing of the second in an outage."""

import asyncio
import socket

from aiohttp import web

from lab.slack.faults import Faults, Outage
from lab.slack.pagehost import PageHost
from lab.slack.sockets import Sockets
from lab.slack.webapi import WebApi
from lab.slack.workspace import Workspace

_HOST = "127.0.0.1"


class Doors:
    """The API has a port of its own, so that an outage can really refuse connections while the page stays."""

    def __init__(self, workspace: Workspace, page: PageHost, api: WebApi, sockets: Sockets, faults: Faults) -> None:
        self._workspace = workspace
        self._page = page
        self._api = api
        self._sockets = sockets
        self._faults = faults
        self._runners: list[web.AppRunner] = []
        self._site: web.SockSite | None = None
        self._port = 0

    async def open(self, port: int) -> None:
        listener = _listen(port)
        self._workspace.home = f"http://{_HOST}:{listener.getsockname()[1]}/"
        for routes in (self._page.routes(), self._api.routes()):
            app = web.Application()
            app.add_routes(routes)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            self._runners.append(runner)
        await web.SockSite(self._runners[0], listener).start()
        await self._open_api()

    async def _open_api(self) -> None:
        listener = _listen(self._port)
        self._port = listener.getsockname()[1]
        self._workspace.api = f"http://{_HOST}:{self._port}/"
        self._site = web.SockSite(self._runners[1], listener)
        await self._site.start()

    async def set_outage(self, outage: Outage) -> None:
        was, self._faults.outage = self._faults.outage, outage
        if outage is not Outage.NONE:
            self._sockets.cut()
        if outage is Outage.REFUSED and self._site is not None:
            await self._site.stop()
            self._site = None
        if was is Outage.REFUSED and outage is not Outage.REFUSED:
            await self._open_api()

    async def close(self) -> None:
        self._page.end_streams()
        await self._sockets.close()
        for runner in self._runners:
            await runner.cleanup()
        await asyncio.sleep(0)  # an aborted connection closes its socket in the loop's next round


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise OSError(f"Port {port} on {_HOST} is taken: stop what listens there, or choose another port.") from error
    return listener

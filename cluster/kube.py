"""The Kubernetes API in raw JSON: each verb as one call, a list page by page, each with a deadline for all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import monotonic as clock
from types import MappingProxyType
from typing import Any, Self

from cluster.errors import AnswerCutOff, ClusterUnreadable, KubeDenied
from cluster.inventory import Cluster
from cluster.kubeconfig import ca_hash, read_kubeconfig
from cluster.pages import Shape, decode
from cluster.transport import BROKEN, Transport

PAGE = 500  # as kubectl: a page of full nodes is some 2.7 MB
WHOLE = 600.0  # seconds for all pages of a list: twice as long as etcd keeps the moment that they show
_ONE_PAGE = 30.0  # seconds
_RESTARTS = 3  # how often a list starts again when its continue token has expired
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_MERGE = "application/merge-patch+json"
_GONE = 410
_CHUNK = 64 * 1024  # bytes of a streamed page that are in hand at once
_LINE = 1024 * 1024  # a line that is longer than this is none of a page that we read
_EXPLAINED = 1024  # bytes of an error page that are read for its reason
_MIB = 1024 * 1024
_OK = range(200, 300)
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Kube:
    """One API endpoint of one cluster; threads may share it, forked processes must each connect anew."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.name = transport.name

    @classmethod
    def connect(cls, name: str, cluster: Cluster, *, endpoint: str | None = None) -> Kube:
        """The cluster's API, or with `endpoint` ("host:port") one API server of it; raises ClusterUnreadable."""
        configuration = read_kubeconfig(name, cluster)
        kube = cls(Transport(name, configuration, relax_x509_strict=cluster.relax_x509_strict))
        return kube if endpoint is None else kube.at(endpoint)

    def at(self, endpoint: str) -> Kube:
        """The same credentials and CA at one API server; credential plug-ins are not run again."""
        return Kube(self._transport.at(endpoint))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def server(self) -> str:
        return self._transport.server

    @property
    def ca_hash(self) -> str:
        """SHA-256, hex, of the first CA certificate in DER; "" where the system's trust store is used."""
        return ca_hash(self._transport.configuration)

    def get(
        self,
        path: str,
        query: Mapping[str, str] = _NOTHING,
        *,
        accept: str | None = None,
        shape: Shape | None = None,
        timeout: float = 10,
    ) -> dict[str, Any]:
        return self._json("GET", path, query, accept=accept, shape=shape, timeout=timeout)

    def text(self, path: str, *, timeout: float = 5) -> tuple[int, str]:
        """Status and body of a plain-text page such as /readyz; an error status is an answer here."""
        reply = self._transport.send("GET", path, _NOTHING, accept="*/*", timeout=timeout)
        return reply.status, reply.data.decode(errors="replace")

    def lines(self, path: str, *, most: int, timeout: float = 30) -> Iterator[str]:
        """A plain-text page line by line as it comes, for `timeout` seconds and `most` bytes at the longest."""
        read, rest = 0, b""
        reply = self._transport.send("GET", path, _NOTHING, accept="text/plain", timeout=timeout, preload=False)
        try:
            if reply.status not in _OK:
                raise self._transport.denied("GET", path, reply, reply.read(_EXPLAINED), {})
            for chunk in reply.stream(_CHUNK):
                read += len(chunk)
                if read > most or len(rest) > _LINE:
                    bounds = f"{timeout:g} s and {most // _MIB} MiB"
                    raise ClusterUnreadable(
                        f"{self._transport.where} did not come to the end of {path} within {bounds}."
                    )
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
            if rest:
                yield rest.decode(errors="replace")
        except BROKEN as error:
            raise ClusterUnreadable(self._transport.explain(error, timeout)) from error
        finally:
            reply.close()

    def items(
        self,
        path: str,
        query: Mapping[str, str] = _NOTHING,
        *,
        shape: Shape | None = None,
        page: int = PAGE,
        timeout: float = _ONE_PAGE,
        whole: float = WHOLE,
    ) -> Iterator[dict[str, Any]]:
        """Every object of a list, page by page, each once; with `shape` what that names of it, and its uid.

        An expired continue token starts the list again: the token that the server offers instead would mix two
        moments. What was already given out is not repeated. Each page has `timeout` seconds, all of them `whole`.
        """
        seen: set[str] = set()
        for chunk in self._pages(path, query, shape=shape, page=page, timeout=timeout, whole=whole):
            for item in self._list(path, chunk.get("items")):
                uid = _metadata(item).get("uid", "")  # a malformed object is for its reader to judge
                if uid in seen:
                    continue
                if uid:
                    seen.add(uid)
                yield item

    def rows(
        self, path: str, *, shape: Shape | None = None, page: int = PAGE
    ) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        """
        Rows as `kubectl get -o wide` shows them, column name → cell, each with its object's metadata.

        Page by page as `items`, for half of what full JSON costs.
        """
        seen: set[str] = set()
        names: list[str] = []
        query = {"includeObject": "Metadata"}
        for chunk in self._pages(path, query, accept=_TABLE, shape=shape, page=page, timeout=_ONE_PAGE, whole=WHOLE):
            if chunk.get("kind") != "Table":
                raise ClusterUnreadable(f"The API of `{self.name}` sent no table for {path}: look at its version.")
            # only the first page names the columns
            columns = self._list(path, chunk.get("columnDefinitions"))
            names = [str(c.get("name")) for c in columns if isinstance(c, dict)] or names
            for row in self._list(path, chunk.get("rows")):
                cells, metadata = _row(names, row)
                key = str(metadata.get("uid") or cells.get("Name") or "")
                if key in seen:
                    continue
                if key:
                    seen.add(key)
                yield cells, metadata

    def _list(self, path: str, value: Any) -> list[Any]:
        if not isinstance(value, list | None):
            raise ClusterUnreadable(f"The API of `{self.name}` sent no list for {path}: look at what answers there.")
        return value or []

    def post(
        self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING, *, timeout: float = 10
    ) -> dict[str, Any]:
        return self._json("POST", path, query, body=body, timeout=timeout)

    def patch(
        self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING, *, timeout: float = 10
    ) -> dict[str, Any]:
        """A JSON merge patch."""
        return self._json("PATCH", path, query, body=body, content_type=_MERGE, timeout=timeout)

    def put(
        self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING, *, timeout: float = 10
    ) -> dict[str, Any]:
        return self._json("PUT", path, query, body=body, timeout=timeout)

    def delete(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] = _NOTHING,
        *,
        timeout: float = 10,
    ) -> dict[str, Any]:
        return self._json("DELETE", path, query, body=body, timeout=timeout)

    def _pages(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        accept: str | None = None,
        shape: Shape | None,
        page: int,
        timeout: float,
        whole: float,
    ) -> Iterator[dict[str, Any]]:
        token, restarts, until = "", 0, clock() + whole
        while True:
            asked = {**query, "limit": str(page)} | ({"continue": token} if token else {})
            late = f"{self._transport.where} did not come to the end of {path} within {whole:g} s: check its load."
            if (left := until - clock()) <= 0:
                raise ClusterUnreadable(late)
            try:
                chunk = self._page(path, asked, accept=accept, shape=shape, timeout=min(timeout, left))
            except KubeDenied as error:
                if error.status != _GONE or not token or restarts == _RESTARTS:
                    raise
                token, restarts = "", restarts + 1
                continue
            except ClusterUnreadable as error:
                if clock() < until:
                    raise
                raise ClusterUnreadable(late) from error
            yield chunk
            token = str(_metadata(chunk).get("continue") or "")
            if not token:
                return

    def _page(
        self, path: str, query: Mapping[str, str], *, accept: str | None, shape: Shape | None, timeout: float
    ) -> dict[str, Any]:
        """One page; half of one is asked for once more, since reading changes nothing."""
        try:
            return self.get(path, query, accept=accept, shape=shape, timeout=timeout)
        except AnswerCutOff:
            return self.get(path, query, accept=accept, shape=shape, timeout=timeout)

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: float,
        body: Mapping[str, Any] | None = None,
        accept: str | None = None,
        shape: Shape | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        reply = self._transport.send(
            method, path, query, accept=accept, body=body, content_type=content_type, timeout=timeout
        )
        try:
            answer = decode(reply.data, shape if reply.status in _OK else None) if reply.data else {}
        except ValueError:
            answer = None
        if reply.status not in _OK:
            status = answer if isinstance(answer, dict) else {}
            raise self._transport.denied(method, path, reply, reply.data, status)
        if not isinstance(answer, dict):
            raise AnswerCutOff(
                f"The API of `{self.name}` at {self.server} answered {method} {path} with something that is not JSON: "
                "check that the address is an API server's."
            )
        return answer


def _row(names: list[str], row: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Its cells by column, and its object's metadata; of a malformed one what there is."""
    row = row if isinstance(row, dict) else {}
    cells = row.get("cells")
    shown = dict(zip(names, map(str, cells if isinstance(cells, list) else ()), strict=False))
    return shown, _metadata(row.get("object"))


def _metadata(item: Any) -> dict[str, Any]:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return metadata if isinstance(metadata, dict) else {}

"""The Kubernetes API in raw JSON: the client's credentials and TLS, our own time-outs, no hidden retries."""

from __future__ import annotations

import copy
import gc
import hashlib
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic as clock
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import urllib3
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config.config_exception import ConfigException

from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.settings import Cluster

CONNECT_TIMEOUT = 3.0  # seconds; a read may take longer, a connection never does
PAGE = 500  # as kubectl: a page of full nodes is some 2.7 MB
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


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    data: bytes


class Kube:
    """One API endpoint of one cluster; threads may share it, forked processes must each connect anew."""

    def __init__(self, name: str, configuration: Configuration, *, relax_x509_strict: bool = False) -> None:
        self.name = name
        self._configuration = configuration
        self._relax = relax_x509_strict
        self._client = ApiClient(configuration)
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager
        if relax_x509_strict:
            # urllib3 would load these into the shared context again at every connection, and threads that do so at
            # the same time were seen to mix the key of one with the certificate of another, or to hang
            for loaded in ("ca_certs", "ca_cert_data", "cert_file", "key_file"):
                self._pool.connection_pool_kw.pop(loaded, None)
            self._pool.connection_pool_kw["ssl_context"] = _relaxed_context(configuration)
            self._pool.clear()

    @classmethod
    def connect(cls, name: str, cluster: Cluster, *, endpoint: str | None = None) -> Kube:
        """The cluster's API, or with `endpoint` ("host:port") one API server of it; raises ClusterUnreadable."""
        configuration = _configure(name, cluster)
        kube = cls(name, configuration, relax_x509_strict=cluster.relax_x509_strict)
        return kube if endpoint is None else kube.at(endpoint)

    def at(self, endpoint: str) -> Kube:
        """The same credentials and CA at one API server; credential plug-ins are not run again."""
        configuration = copy.copy(self._configuration)
        configuration.host = f"https://{endpoint}"
        # the client's own hook puts the kubeconfig's address back, too: let it do so on the original, whose dict of
        # tokens the copy shares
        if (refresh := getattr(self._configuration, "refresh_api_key_hook", None)) is not None:
            setattr(configuration, "refresh_api_key_hook", lambda _: refresh(self._configuration))  # noqa: B010
        return Kube(self.name, configuration, relax_x509_strict=self._relax)

    def close(self) -> None:
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def server(self) -> str:
        return str(self._configuration.host)

    @property
    def _where(self) -> str:
        return f"The API of `{self.name}` at {self.server}"

    @property
    def ca_hash(self) -> str:
        """SHA-256, hex, of the first CA certificate in DER; "" where the system's trust store is used."""
        pem = _ca_pem(self._configuration)
        end = "-----END CERTIFICATE-----"
        begin, found = pem.find("-----BEGIN CERTIFICATE-----"), pem.find(end)
        if begin < 0 or found < 0:
            return ""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[begin : found + len(end)])).hexdigest()

    def get(
        self, path: str, query: Mapping[str, str] = _NOTHING, *, accept: str | None = None, timeout: float = 10
    ) -> dict[str, Any]:
        return self._json("GET", path, query, accept=accept, timeout=timeout)

    def text(self, path: str, *, timeout: float = 5) -> tuple[int, str]:
        """Status and body of a plain-text page such as /readyz; an error status is an answer here."""
        reply = self._send("GET", path, _NOTHING, accept="*/*", timeout=timeout)
        return reply.status, reply.data.decode(errors="replace")

    def lines(self, path: str, *, most: int, timeout: float = 30) -> Iterator[str]:
        """A plain-text page line by line as it comes, for `timeout` seconds and `most` bytes at the longest."""
        until, read, rest = clock() + timeout, 0, b""
        reply = self._open("GET", path, _NOTHING, accept="text/plain", timeout=timeout, preload=False)
        try:
            if reply.status not in _OK:
                said = _Reply(reply.status, reply.headers, reply.read(_EXPLAINED) or b"")
                raise self._denied("GET", path, said, {})
            for chunk in reply.stream(_CHUNK):
                read += len(chunk)
                if read > most or len(rest) > _LINE or clock() > until:
                    raise ClusterUnreadable(
                        f"{self._where} did not come to the end of {path} within {timeout:g} s and {most // _MIB} MiB."
                    )
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
            if rest:
                yield rest.decode(errors="replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterUnreadable(self._sentence(error, timeout)) from error
        finally:
            reply.close()

    def items(
        self, path: str, query: Mapping[str, str] = _NOTHING, *, page: int = PAGE, timeout: float = 30
    ) -> Iterator[dict[str, Any]]:
        """Every object of a list, page by page, each once.

        An expired continue token starts the list again: the token that the server offers instead would mix two
        moments. What was already given out is not repeated.
        """
        seen: set[str] = set()
        for chunk in self._pages(path, query, accept=None, page=page, timeout=timeout):
            for item in chunk.get("items") or ():
                uid = (item.get("metadata") or {}).get("uid", "")  # a malformed object is for its reader to judge
                if uid in seen:
                    continue
                if uid:
                    seen.add(uid)
                yield item

    def table(
        self, path: str, query: Mapping[str, str] = _NOTHING, *, page: int = PAGE, timeout: float = 30
    ) -> Iterator[dict[str, str]]:
        """Rows as `kubectl get -o wide` shows them, column name → cell, without the objects (32 times less to read)."""
        for cells, _ in self._rows(path, {**query, "includeObject": "None"}, page=page, timeout=timeout):
            yield cells

    def rows(
        self, path: str, query: Mapping[str, str] = _NOTHING, *, page: int = PAGE, timeout: float = 30
    ) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        """The same rows, each with its object's metadata: one moment, half of what full JSON costs."""
        return self._rows(path, {**query, "includeObject": "Metadata"}, page=page, timeout=timeout)

    def _rows(
        self, path: str, query: Mapping[str, str], *, page: int, timeout: float
    ) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        seen: set[str] = set()
        names: list[str] = []
        for chunk in self._pages(path, query, accept=_TABLE, page=page, timeout=timeout):
            if chunk.get("kind") != "Table":
                raise ClusterUnreadable(f"The API of `{self.name}` sent no table for {path}: look at its version.")
            # only the first page names the columns
            names = [c["name"] for c in chunk.get("columnDefinitions") or ()] or names
            for row in chunk.get("rows") or ():
                cells = dict(zip(names, (str(cell) for cell in row["cells"]), strict=False))
                metadata = (row.get("object") or {}).get("metadata") or {}
                key = str(metadata.get("uid") or cells.get("Name"))
                if key in seen:
                    continue
                seen.add(key)
                yield cells, metadata

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
        self, path: str, query: Mapping[str, str], *, accept: str | None, page: int, timeout: float
    ) -> Iterator[dict[str, Any]]:
        token, restarts = "", 0
        while True:
            asked = {**query, "limit": str(page)} | ({"continue": token} if token else {})
            try:
                chunk = self.get(path, asked, accept=accept, timeout=timeout)
            except KubeDenied as error:
                if error.status != _GONE or not token or restarts == _RESTARTS:
                    raise
                token, restarts = "", restarts + 1
                continue
            yield chunk
            token = (chunk.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: float,
        body: Mapping[str, Any] | None = None,
        accept: str | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        reply = self._send(method, path, query, accept=accept, body=body, content_type=content_type, timeout=timeout)
        try:
            answer = _parse(reply.data) if reply.data else {}
        except ValueError:
            answer = None
        if reply.status not in _OK:
            raise self._denied(method, path, reply, answer if isinstance(answer, dict) else {})
        if not isinstance(answer, dict):
            raise ClusterUnreadable(
                f"The API of `{self.name}` at {self.server} answered {method} {path} with something that is not JSON: "
                "check that the address is an API server's."
            )
        return answer

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: float,
        accept: str | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> _Reply:
        response = self._open(method, path, query, accept=accept, body=body, content_type=content_type, timeout=timeout)
        return _Reply(response.status, response.headers, response.data)

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: float,
        accept: str | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        preload: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": accept or "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        try:  # a client certificate that cannot be read shows itself here, and so does a token's refresh
            _, url, headers, *_ = self._client.param_serialize(
                method, quote(path, safe="/:"), header_params=headers, auth_settings=["BearerToken"]
            )
            return self._pool.request(
                method,
                f"{url}?{urlencode(query)}" if query else url,
                headers=headers,
                body=None if body is None else json.dumps(body).encode(),
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=timeout),
                retries=False,
                redirect=False,
                preload_content=preload,
            )
        except (urllib3.exceptions.HTTPError, OSError, ConfigException) as error:
            raise ClusterUnreadable(self._sentence(error, timeout)) from error

    def _denied(self, method: str, path: str, reply: _Reply, body: dict[str, Any]) -> KubeDenied:
        reason = body.get("message") or reply.data[:200].decode(errors="replace").strip() or "no reason given"
        return KubeDenied(
            f"The API of `{self.name}` answered {method} {path} with {reply.status}: {reason}",
            status=reply.status,
            body=body,
            retry_after=_seconds(reply.headers.get("Retry-After")),
        )

    def _sentence(self, error: Exception, timeout: float) -> str:
        where = self._where
        if isinstance(error, urllib3.exceptions.NewConnectionError):
            reason = str(error).rpartition(": ")[2]
            return f"{where} cannot be reached ({reason}): check the address, and that the API server runs."
        if isinstance(error, urllib3.exceptions.TimeoutError):
            waited = CONNECT_TIMEOUT if isinstance(error, urllib3.exceptions.ConnectTimeoutError) else timeout
            return f"{where} did not answer within {waited:g} s: check the network and its load."
        text = " ".join(str(error).split())
        if "Authority Key Identifier" in text or "Subject Key Identifier" in text:
            return (
                f"{where} shows a certificate without key identifiers, which this Python refuses: renew the cluster's "
                f"certificates, or set `relax_x509_strict: true` for the cluster in lockkeeper.yaml."
            )
        if isinstance(error, (urllib3.exceptions.SSLError, ssl.SSLError)):
            return f"{where} failed the certificate check ({text}): check the CA in the kubeconfig."
        return f"{where} broke the connection off ({text}): try again."


def _parse(data: bytes) -> Any:
    """JSON without the collector: it would walk every new dict of a page again and again, at twice the cost."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return json.loads(data)
    finally:
        if collects:
            gc.enable()


def _configure(name: str, cluster: Cluster) -> Configuration:
    configuration = Configuration()
    try:
        if cluster.in_cluster:
            kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(cluster.kubeconfig),
                context=cluster.context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        source = "the service account" if cluster.in_cluster else f"the kubeconfig {cluster.kubeconfig}"
        reason = " ".join(str(error).split())
        raise ClusterUnreadable(
            f"The credentials of `{name}` in {source} cannot be used ({reason}): check that file."
        ) from error
    if urlsplit(str(configuration.host)).scheme != "https" or not configuration.verify_ssl:
        raise ClusterUnreadable(
            f"The kubeconfig of `{name}` turns certificate checks off: name an https server and its CA in it."
        )
    return configuration


def _ca_pem(configuration: Configuration) -> str:
    data = configuration.ca_cert_data
    if isinstance(data, bytes):
        return ssl.DER_cert_to_PEM_cert(data)
    if data:
        return str(data)
    return Path(configuration.ssl_ca_cert).read_text(encoding="ascii") if configuration.ssl_ca_cert else ""


def _relaxed_context(configuration: Configuration) -> ssl.SSLContext:
    """Chain and host name are checked as ever; only RFC 5280's demand for key identifiers is dropped."""
    context = ssl.create_default_context(cadata=_ca_pem(configuration) or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None

"""One HTTPS exchange with one API server: the client's credentials and TLS, our own deadlines, no hidden retries."""

from __future__ import annotations

import copy
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config.config_exception import ConfigException

from cluster.deadlines import DeadlinePool
from cluster.errors import AnswerCutOff, ClusterUnreadable, KubeDenied
from cluster.kubeconfig import relaxed_context

CONNECT_TIMEOUT = 3.0  # seconds; an answer may take longer, a connection never does
_UNAUTHORIZED = 401
_NOBODY = 'User "system:anonymous"'  # whose credentials never arrived
BROKEN = (urllib3.exceptions.HTTPError, OSError)  # what an exchange that is cut short raises


class Transport:
    """Connections to one endpoint; threads may share it, forked processes must each connect anew."""

    def __init__(
        self,
        name: str,
        configuration: Configuration,
        *,
        relax_x509_strict: bool,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self.name = name
        self.configuration = configuration
        self._relax = relax_x509_strict
        self._connect_timeout = connect_timeout
        self._client = ApiClient(configuration)
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager
        self._pool.pool_classes_by_scheme = {**self._pool.pool_classes_by_scheme, "https": DeadlinePool}
        if relax_x509_strict:
            # urllib3 would load these into the shared context again at every connection, and threads that do so at
            # the same time were seen to mix the key of one with the certificate of another, or to hang
            for loaded in ("ca_certs", "ca_cert_data", "cert_file", "key_file"):
                self._pool.connection_pool_kw.pop(loaded, None)
            self._pool.connection_pool_kw["ssl_context"] = relaxed_context(name, configuration)
            self._pool.clear()

    def at(self, endpoint: str) -> Transport:
        """The same credentials and CA at one API server; credential plug-ins are not run again."""
        configuration = copy.copy(self.configuration)
        configuration.host = f"https://{endpoint}"
        # the client's own hook puts the kubeconfig's address back, too: let it do so on the original, whose dict of
        # tokens the copy shares
        if (refresh := getattr(self.configuration, "refresh_api_key_hook", None)) is not None:
            setattr(configuration, "refresh_api_key_hook", lambda _: refresh(self.configuration))  # noqa: B010
        return Transport(self.name, configuration, relax_x509_strict=self._relax, connect_timeout=self._connect_timeout)

    def close(self) -> None:
        self._pool.clear()

    @property
    def server(self) -> str:
        return str(self.configuration.host)

    @property
    def where(self) -> str:
        return f"The API of `{self.name}` at {self.server}"

    def send(
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
        """
        The whole answer, `timeout` seconds after the request at the latest; raises ClusterUnreadable without one.

        Without `preload` its body is still to be read, within the same `timeout`.
        """
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
                timeout=urllib3.Timeout(connect=self._connect_timeout, read=timeout),
                retries=False,
                redirect=False,
                preload_content=preload,
            )
        except (*BROKEN, ConfigException) as error:
            cut_off = isinstance(error, urllib3.exceptions.ProtocolError)
            raise (AnswerCutOff if cut_off else ClusterUnreadable)(self.explain(error, timeout)) from error

    def denied(
        self, method: str, path: str, reply: urllib3.BaseHTTPResponse, said: bytes, body: dict[str, Any]
    ) -> KubeDenied:
        """The error that an answer of an error status is; `body` is the Status object that it said, if it is one."""
        reason = body.get("message") or said[:200].decode(errors="replace").strip() or "no reason given"
        if reply.status == _UNAUTHORIZED or _NOBODY in str(reason):
            reason = f"{reason} (the token or certificate has expired, is wrong or is missing: renew it)"
        return KubeDenied(
            f"The API of `{self.name}` answered {method} {path} with {reply.status}: {reason}",
            status=reply.status,
            body=body,
            retry_after=_seconds(reply.headers.get("Retry-After")),
        )

    def explain(self, error: Exception, timeout: float) -> str:
        """Why there is no answer, in a sentence with what to do."""
        if isinstance(error, urllib3.exceptions.NewConnectionError):
            reason = str(error).rpartition(": ")[2]
            return f"{self.where} cannot be reached ({reason}): check the address, and that the API server runs."
        if isinstance(error, urllib3.exceptions.TimeoutError):
            in_handshake = f"read timeout={self._connect_timeout})" in str(error)
            connecting = in_handshake or isinstance(error, urllib3.exceptions.ConnectTimeoutError)
            waited = self._connect_timeout if connecting else timeout
            return f"{self.where} did not answer within {waited:g} s: check the network and its load."
        text = " ".join(str(error).split())
        if "Authority Key Identifier" in text or "Subject Key Identifier" in text:
            return (
                f"{self.where} shows a certificate without key identifiers, which this Python refuses: renew the "
                f"cluster's certificates, or set `relax_x509_strict: true` for the cluster in lockkeeper.yaml."
            )
        if isinstance(error, urllib3.exceptions.SSLError) and isinstance(error.args[0], ssl.SSLEOFError):
            # What a load balancer does that has no API server left to connect to.
            return f"{self.where} ended the TLS handshake ({text}): check that an API server runs behind that address."
        if isinstance(error, (urllib3.exceptions.SSLError, ssl.SSLError)):
            return f"{self.where} failed the certificate check ({text}): check the CA in the kubeconfig."
        return f"{self.where} broke the connection off ({text}): try again."


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None

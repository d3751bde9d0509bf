"""A cluster's credentials: the kubeconfig or the service account, read for the client; no check is ever turned off."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import Configuration
from kubernetes.config.config_exception import ConfigException

from cluster.errors import ClusterUnreadable
from cluster.inventory import Cluster


def read_kubeconfig(name: str, cluster: Cluster) -> Configuration:
    """Raises ClusterUnreadable where it cannot be used, and where it turns certificate checks off."""
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


def ca_hash(configuration: Configuration) -> str:
    """SHA-256, hex, of the first CA certificate in DER; "" where the system's trust store is used."""
    pem = _ca_pem(configuration)
    end = "-----END CERTIFICATE-----"
    begin, found = pem.find("-----BEGIN CERTIFICATE-----"), pem.find(end)
    if begin < 0 or found < 0:
        return ""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[begin : found + len(end)])).hexdigest()


def relaxed_context(name: str, configuration: Configuration) -> ssl.SSLContext:
    """Chain and host name are checked as ever; only RFC 5280's demand for key identifiers is dropped."""
    try:
        context = ssl.create_default_context(cadata=_ca_pem(configuration) or None)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ClusterUnreadable(
            f"The CA, certificate or key of `{name}` cannot be used ({reason}): check what its kubeconfig names."
        ) from error
    return context


def _ca_pem(configuration: Configuration) -> str:
    data = configuration.ca_cert_data
    if isinstance(data, bytes):
        return ssl.DER_cert_to_PEM_cert(data)
    if data:
        return str(data)
    return (
        Path(configuration.ssl_ca_cert).read_text(encoding="ascii", errors="ignore")
        if configuration.ssl_ca_cert
        else ""
    )

"""What tools of the control plane told through `observe`, in JSON or text of their own, read into values."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from cluster.certificates import KUBELET, Certificate
from cluster.drift import Drift
from cluster.etcd import DEFAULT_QUOTA, EtcdAlarm, EtcdEndpoint, EtcdFacts, EtcdMember
from cluster.report import Unread
from workers.node_script.lines import Lines

Raw = dict[str, Any]
OUTSIDE = "outside-etcd"
_NO_ANSWER = Unread(OUTSIDE, "it was not asked")
Value = TypeVar("Value")


class Readings:
    """A tool of another release may answer in another form: that is something unread, and no broken answer."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.unread: list[Unread] = []

    def of(self, what: str, read: Callable[[Lines], Value]) -> Value | None:
        try:
            return read(self._lines)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            reason = f"the answer has a form that this release does not know: {type(error).__name__}: {error}"
            self.unread.append(Unread(what, reason))
            return None


def read_etcd(lines: Lines) -> EtcdFacts | None:
    """None where no etcd runs, or nothing could be learnt of it."""
    status, health = lines.first("etcd-status"), lines.first("etcd-health")
    given = int(lines.first("etcd-quota") or 0) or DEFAULT_QUOTA
    if status is not None:
        return _by_etcdctl(_status(status), lines, given)
    return _by_metrics(lines, json.loads(health), given) if health is not None else None


def read_outside_etcd(lines: Lines) -> tuple[EtcdEndpoint, ...]:
    """By endpoint, in the order of the API server's flag; how large it may become no endpoint tells before 3.6."""
    told = {url: text for url, _, text in (value.partition(" ") for value in lines.all("outside-etcd"))}
    unread = (value.removeprefix(f"{OUTSIDE} ") for value in lines.all("unreadable") if value.startswith(f"{OUTSIDE} "))
    why = {url: Unread(OUTSIDE, reason) for url, _, reason in (value.partition(" ") for value in unread)}
    urls = [url for value in lines.all("etcd-servers") for url in value.split(",") if url]
    return tuple(
        EtcdEndpoint(url, _by_etcdctl(_status(told[url]), lines, 0) if url in told else why.get(url, _NO_ANSWER))
        for url in urls
    )


def _status(text: str) -> Raw:
    """etcdctl wraps it in a list of endpoints; etcd's own gateway does not."""
    raw = json.loads(text)
    status: Raw = raw[0]["Status"] if isinstance(raw, list) else raw
    return status


def _by_etcdctl(status: Raw, lines: Lines, quota: int) -> EtcdFacts:
    # Go leaves out what is zero or false, and some releases write large numbers as text.
    leader, ident = str(status.get("leader", 0)), str(status["header"]["member_id"])
    unread = {value.split(" ")[0] for value in lines.all("unreadable")}
    members = lines.first("etcd-members")
    return EtcdFacts(
        ident=ident,
        version=status["version"],
        has_leader=leader != "0",
        is_leader=leader == ident,
        learner=status.get("isLearner", False),
        leader=leader if leader != "0" else None,
        raft_term=int(status.get("raftTerm", 0)),
        raft_behind=int(status.get("raftIndex", 0)) - int(status.get("raftAppliedIndex", 0)),
        size_bytes=int(status.get("dbSize", 0)),
        in_use_bytes=int(status.get("dbSizeInUse", 0)),
        quota_bytes=int(status.get("dbSizeQuota", 0)) or quota,
        errors=tuple(e.strip() for e in status.get("errors") or ()),
        members=tuple(_member(m) for m in json.loads(members)["members"]) if members is not None else None,
        alarms=None
        if members is None or "etcd-alarms" in unread
        else tuple(EtcdAlarm(*words) for words in lines.words("etcd-alarm")),
    )


def _member(raw: Raw) -> EtcdMember:
    learner = raw.get("isLearner", False)
    return EtcdMember(str(raw["ID"]), raw.get("name", ""), learner, tuple(raw.get("clientURLs") or ()))


def _by_metrics(lines: Lines, health: Raw, quota: int) -> EtcdFacts:
    told = dict(words for words in lines.words("etcd-metric") if len(words) == len(("name", "value")))
    labels = {name.partition("{")[0]: name.split('"')[1] for name in told if '"' in name}
    numbers = {name: float(value) for name, value in told.items() if "{" not in name}
    reason = str(health.get("reason", ""))
    ill = str(health["health"]).lower() != "true"
    return EtcdFacts(
        ident=str(int(labels.get("etcd_server_id", "0"), 16)),
        version=labels.get("etcd_server_version", ""),
        has_leader=bool(numbers.get("etcd_server_has_leader", 1)),
        is_leader=bool(numbers.get("etcd_server_is_leader", 0)),
        learner=bool(numbers.get("etcd_server_is_learner", 0)),
        size_bytes=int(numbers.get("etcd_mvcc_db_total_size_in_bytes", 0)),
        in_use_bytes=int(numbers.get("etcd_mvcc_db_total_size_in_use_in_bytes", 0)),
        quota_bytes=int(numbers.get("etcd_server_quota_backend_bytes", 0)) or quota,
        # "ALARM NOSPACE" here is what etcdctl calls "alarm:NOSPACE".
        errors=(reason.replace("ALARM ", "alarm:") or "it says that it is not healthy",) if ill else (),
    )


def read_certificates(lines: Lines) -> tuple[Certificate, ...] | None:
    """kubeadm's list on a control plane, and the kubelet's own everywhere; None where neither was told."""
    found = tuple(_certificates(lines))
    return found or None


def _certificates(lines: Lines) -> Iterator[Certificate]:
    if (text := lines.first("certificates")) is not None:
        listed = json.loads(text)
        yield from (_certificate(row, authority=False) for row in listed["certificates"])
        yield from (_certificate(row, authority=True) for row in listed["certificateAuthorities"])
    ends = {which: day for which, _, day in (value.partition(" ") for value in lines.all("kubelet-certificate"))}
    if ends:
        yield Certificate(KUBELET, _time_of(ends["until"]), since=_time_of(ends["since"]))


def _time_of(text: str) -> datetime:
    """`Nov  3 08:43:57 2027 GMT`, as openssl writes it in any locale."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _certificate(row: Raw, *, authority: bool) -> Certificate:
    until = None if row.get("missing") else datetime.fromisoformat(row["expirationDate"])
    return Certificate(row["name"], until, authority, bool(row.get("externallyManaged")))


def read_drift(lines: Lines) -> tuple[Drift, ...] | None:
    """None where no kubeadm of the cluster's own minor could be asked; () where it would change nothing."""
    if lines.first("drift-by") is None:
        return None
    changed = [value.partition(" ") for value in lines.all("drift-line")]
    return tuple(
        Drift(name, int(count), tuple(line for component, _, line in changed if component == name))
        for name, count in lines.words("drift")
    )

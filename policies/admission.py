"""Webhooks whose silence would stop an upgrade's own writes, and APIs that their servers do not serve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.admission import ELSEWHERE, EVENTS, Webhook
from cluster.examination import Examination
from cluster.findings import Finding, Severity
from policies.wording import some_of

_BEARABLE = frozenset({EVENTS, ELSEWHERE})  # without these an upgrade goes on, or may: nobody knows whom a drain meets


@dataclass(frozen=True, slots=True)
class _Gatekeeper:
    """The webhooks of one configuration that the same service answers for."""

    webhooks: tuple[Webhook, ...]

    @property
    def first(self) -> Webhook:
        return self.webhooks[0]

    @property
    def who(self) -> str:
        names = some_of(w.name for w in self.webhooks)
        many = "webhooks" if len(self.webhooks) > 1 else "webhook"
        return f"The {many} {names} ({self.first.kind} {self.first.configuration})"

    @property
    def what(self) -> str:
        return some_of(write for w in self.webhooks for write in w.asked)

    @property
    def is_vital(self) -> bool:
        """Whether no upgrade goes on without its answer; one that is asked about some objects only may spare it."""
        return any(not w.narrowed and set(w.asked) - _BEARABLE for w in self.webhooks)


def check_admission(examination: Examination) -> Iterator[Finding]:
    together: dict[tuple[str, str, str], list[Webhook]] = {}
    for webhook in examination.webhooks:
        key = webhook.kind, webhook.configuration, webhook.service or webhook.url
        together.setdefault(key, []).append(webhook)
    for webhooks in together.values():
        yield from _gatekeeper(_Gatekeeper(tuple(webhooks)))
    yield from _unavailable(examination)


def _gatekeeper(keeper: _Gatekeeper) -> Iterator[Finding]:
    ready, service = keeper.first.ready, keeper.first.service
    asked = f"{keeper.who} must answer before {keeper.what} are written"
    subject = keeper.first.configuration
    if ready is None:
        sentence = f"{asked}, and whether {service or keeper.first.url} does cannot be seen from here."
        remedy = "Make sure of it, or let its namespaceSelector leave kube-system out."
        yield Finding("webhook-unseen", Severity.WARNING, subject, sentence, remedy)
    elif not ready:
        some = "" if keeper.is_vital else "some of the "
        asked = f"{keeper.who} must answer before {some}{keeper.what} are written"
        sentence = f"{asked}, and its service {service} has no ready endpoint."
        remedy = (
            f"Bring back what answers for {service}; or let its namespaceSelector leave kube-system out, or set its "
            "failurePolicy to Ignore until the upgrade is over."
        )
        severity = Severity.BLOCKER if keeper.is_vital else Severity.WARNING
        yield Finding("webhook-unanswered", severity, subject, sentence, remedy)
    elif len(set(ready)) == 1:
        where = f" on {ready[0]}" if ready[0] else ""
        number = "one ready endpoint" if len(ready) == 1 else f"all its {len(ready)} ready endpoints"
        sentence = f"{asked}, and its service {service} has {number}{where}: without it they are refused."
        remedy = "Let it have replicas on two nodes, so that one answers while the other's node is drained."
        yield Finding("webhook-single", Severity.WARNING, subject, sentence, remedy)


def _unavailable(examination: Examination) -> Iterator[Finding]:
    for api in examination.unavailable:
        served = f" by {api.service}" if api.service else ""
        sentence = f"The API {api.name} is not served{served}: {api.reason[:200]}."
        remedy = (
            f"Look with: kubectl describe apiservice {api.name}. While it is away, discovery is incomplete and no "
            "namespace can be deleted; delete it if nothing serves it any more."
        )
        yield Finding("api-service-unavailable", Severity.WARNING, api.name, sentence, remedy)

"""The same verbs as in Slack, typed on a terminal: ask, look, steer, and decide with the person's SSH key."""

from __future__ import annotations

import getpass
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.sights import Sights
from bot.sources import Sources
from bot.voids import check_still_fits
from cluster import observe
from cluster.approval import Approval, statement_of
from cluster.dry_run import DryRun
from cluster.errors import ClusterUnreadable, Refused, StaleMove, StoreUnavailable, UnknownThing
from cluster.events import Event, Happened
from cluster.findings import Finding, Severity, blockers
from cluster.glance import glance
from cluster.operation import Operation, Wish, schedule
from cluster.plan import PlanRecord, PlanStatus
from cluster.queues import Wakeups
from cluster.report import ClusterReport
from cluster.requests import Answer, PlanRequest, request_dry_run, request_rollback
from cluster.settings import Settings
from cluster.signing import fingerprint, sign_with_ssh
from cluster.store import Decision, Store, already_decided
from policies.approvals import check_person, may_decide
from policies.consents import read_consents
from policies.drained import check_living
from policies.fleet import FleetLine
from policies.goals import tell_release
from policies.overview import Overview
from policies.release_notes import confirmed, facts_of, notes_of
from policies.sparing import tell_spared
from policies.traces import held_elsewhere
from policies.wording import some_of

ASK_EVERY = 0.3  # seconds between two looks for an answer


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that a verb on the terminal needs."""

    settings: Settings
    store: Store
    wakeups: Wakeups

    @property
    def person(self) -> str:
        """Who types: the person of `people:` whose `logins` name this login; raises Refused for a stranger."""
        login = getpass.getuser()
        for name, person in self.settings.people.items():
            if login in person.logins:
                return name
        raise Refused(f"Nobody in `people` has the login `{login}`: add it to your `logins` in lockkeeper.yaml.")

    def versions(self, cluster: str | None) -> Overview | tuple[FleetLine, ...]:
        """One cluster, or a line of each where none is named and there are several."""
        if cluster is None and len(self.settings.clusters) > 1:
            return self.sights.fleet()
        return self.sights.overview(self.settings.cluster(cluster)[0])

    def renewed(self, cluster: str | None, timeout: float) -> Overview:
        """One cluster, with what its package sources offer just now; a report that could not ask says why."""
        seen = self.sights.overview(self.settings.cluster(cluster)[0])
        return Sources(self.sights, self.wakeups, timeout).renew(seen)

    @property
    def sights(self) -> Sights:
        """How clusters are seen: with what is on record."""
        return Sights(self.settings, self.store, self._observe, _now)

    def _observe(self, name: str) -> ClusterReport:
        return glance(name, self.settings.clusters[name], now=_now())

    def ask_for_plan(
        self,
        target: str,
        cluster: str | None,
        *,
        timeout: float,
        accept: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
    ) -> Answer:
        """Have a worker draft the plan and wait for its answer; raises Refused when no worker answers in time."""
        name, _ = self.settings.cluster(cluster)
        consents = read_consents(accept)
        now = _now()
        request = PlanRequest(
            id=f"r-{secrets.token_hex(4)}",
            kind="plan",
            cluster=name,
            target=target,
            person=self.person,
            channel=self.settings.channel(name) or "",
            at=now,
            accepted=consents.accepted,
            overrides=consents.overrides,
            without=without,
        )
        sentence = f"{request.person} asked for a plan to {target}."
        self.store.put_request(request, Event(Happened.PLAN_REQUESTED, now, name, sentence, person=request.person))
        self.wakeups.ask_for_plan(request.id)
        return self.wait_for_answer(request.id, timeout)

    def ask_for_rollback(self, workers: tuple[str, ...], cluster: str | None, *, timeout: float) -> Answer:
        """Have a worker draft the plan that puts the kubelets of these workers back, and wait for its answer."""
        name, _ = self.settings.cluster(cluster)
        now, person, channel = _now(), self.person, self.settings.channel(name) or ""
        request = request_rollback(name, workers, f"r-{secrets.token_hex(4)}", person, now, channel)
        sentence = f"{person} asked for a rollback of {some_of(workers)}."
        self.store.put_request(request, Event(Happened.PLAN_REQUESTED, now, name, sentence, person=person))
        self.wakeups.ask_for_plan(request.id)
        return self.wait_for_answer(request.id, timeout)

    def ask_for_dry_run(self, plan_id: str, *, timeout: float) -> DryRun:
        """Have a worker try each eviction of the plan, and wait for what the API server says."""
        record, now, person = self.store.plan(plan_id), _now(), self.person
        check_living(record)
        request = request_dry_run(record, f"r-{secrets.token_hex(4)}", person, now)
        sentence = f"{person} asked for a dry run of {plan_id}."
        asked = Event(Happened.DRY_RUN_ASKED, now, request.cluster, sentence, plan_id, person=person)
        self.store.put_request(request, asked)
        self.wakeups.ask_for_plan(request.id)
        answer = self.wait_for_answer(request.id, timeout)
        if answer.dry_run is None:
            raise Refused(answer.refusal)
        return answer.dry_run

    def wait_for_answer(self, request_id: str, timeout: float) -> Answer:
        """What a worker says to a request; raises Refused where none does in time."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if answer := self.store.answer(request_id):
                return answer
            time.sleep(ASK_EVERY)
        raise Refused(
            f"No worker answered within {timeout:.0f} s; the request {request_id} is kept and will be answered: "
            "start one with `lockkeeper worker`, or look with `lockkeeper status`."
        )

    def notes_to_confirm(self, record: PlanRecord) -> tuple[str, ...]:
        """The minors whose release notes an approver confirms to have read, by the policy of this installation."""
        return tuple(n.minor for n in notes_of(record)) if self.settings.approvals.confirm_release_notes else ()

    def approve(
        self, shown: PlanRecord, key_file: Path, notes_read: tuple[str, ...] = ()
    ) -> tuple[PlanRecord, Operation]:
        """Approve the plan that was shown with the person's SSH key; raises Refused with the reason."""
        now = _now()
        record = self.store.plan(shown.id)
        person, line = self.signer(key_file)
        if record.status is not PlanStatus.PROPOSED:
            raise StaleMove(already_decided(record))
        self._check_right(record, shown.digest, person, now, notes_read)
        check_still_fits(self.store, record, now)
        self._check_lease(record)
        operation_id = f"op-{secrets.token_hex(4)}"
        evidence = f"SSH key {fingerprint(line)}"
        statement = statement_of(
            record, person=person, evidence=evidence, operation_id=operation_id, at=now, notes_read=notes_read
        )
        return record, self._keep(record, sign_with_ssh(statement, key_file), now)

    def _keep(self, record: PlanRecord, approval: Approval, now: datetime) -> Operation:
        person = approval.statement.person
        operation = schedule(record, operation_id=approval.statement.operation_id, approved_by=person, now=now)
        event = Event(
            Happened.PLAN_APPROVED,
            now,
            record.plan.cluster,
            f"{person} approved the plan on the command line.{confirmed(approval.statement.notes_read)}",
            plan_id=record.id,
            operation_id=operation.id,
            person=person,
            facts=facts_of(approval.statement.notes_read),
        )
        outcome = self.store.approve(record, approval, operation, event, now)
        if outcome.decision is not Decision.APPROVED:
            raise Refused(outcome.sentence)
        self.wakeups.wake(operation.id)
        return operation

    def signer(self, key_file: Path) -> tuple[str, str]:
        """Whose key this is, and its public line; raises Refused for a stranger's."""
        public = key_file if key_file.suffix == ".pub" else key_file.with_name(key_file.name + ".pub")
        try:
            line = public.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Refused(
                f"The public key {public} cannot be read ({error.strerror}): name your key with --key."
            ) from error
        mark = fingerprint(line)
        for name, person in self.settings.people.items():
            if mark and any(fingerprint(known) == mark for known in person.ssh_keys):
                return name, line
        raise Refused(f"The key {public} belongs to nobody in `people`: add it to your `ssh_keys` in lockkeeper.yaml.")

    def _check_right(
        self, record: PlanRecord, digest: str, person: str, now: datetime, notes_read: tuple[str, ...]
    ) -> None:
        findings = may_decide(
            record,
            person=person,
            slack_user=None,
            channel=record.channel,
            digest8=digest,
            groups={},
            settings=self.settings,
            now=now,
            notes_read=notes_read,
        )
        if stops := blockers(findings):
            raise Refused(_sentence(stops[0]), stops)

    def _check_lease(self, record: PlanRecord) -> None:
        """A second installation shows itself by its Lease in the cluster; the worker looks again before it starts."""
        try:
            holder = observe.read_lease_holder(record.plan.cluster, self.settings.clusters[record.plan.cluster])
        except ClusterUnreadable:
            return
        if stops := held_elsewhere(record.plan.cluster, holder, self.settings.installation):
            raise Refused(_sentence(stops[0]), stops)

    def reject(self, plan_id: str, reason: str) -> PlanRecord:
        now = _now()
        record = self.store.plan(plan_id)
        sentence = f"{self.person} rejected the plan: {reason}"
        event = Event(Happened.PLAN_REJECTED, now, record.plan.cluster, sentence, plan_id=plan_id, person=self.person)
        outcome = self.store.reject(plan_id, record.digest, self.person, reason, now, event)
        if outcome.decision is not Decision.REJECTED:
            raise Refused(outcome.sentence)
        return self.store.plan(plan_id)

    def operation(self, which: str | None, cluster: str | None = None) -> Operation:
        """The named operation, else the running one of the cluster, else its last."""
        if which is not None:
            return self.store.operation(which)
        name, _ = self.settings.cluster(cluster)
        holder = self.store.lock_holder(name)
        if holder:
            return self.store.operation(holder)
        known = self.store.operations(name, most=1)
        if not known:
            raise UnknownThing(f"Nothing has run on `{name}` yet: {self._first_step(name)}.")
        return known[0]

    def _first_step(self, cluster: str) -> str:
        """What leads to a run of a cluster that had none."""
        waiting = next((r for r in self.store.open_plans() if r.plan.cluster == cluster), None)
        if waiting is None:
            return f"make a plan with `lockkeeper plan v1.35 {cluster}`"
        return f"the plan {waiting.id} waits for somebody's `lockkeeper approve {waiting.id}`"

    def wish(self, operation: Operation, wish: Wish) -> None:
        asked = {Wish.PAUSE: Happened.PAUSE_ASKED, Wish.CANCEL: Happened.CANCEL_ASKED}[wish]
        sentence = f"{self.person} asked to {wish.value}; the nodes in hand are finished first."
        self.store.wish(operation.id, wish, self.person, self._event(asked, operation, sentence))
        self.wakeups.wake(operation.id)

    def resume(self, operation: Operation) -> None:
        event = self._event(Happened.RESUME_ASKED, operation, f"{self.person} resumed the operation.")
        self.store.resume(operation.id, self.person, event)
        self.wakeups.wake(operation.id)

    def retry(self, operation: Operation, node: str | None) -> None:
        which = f"on {node}" if node else "on every blocked node"
        event = self._event(Happened.RETRY_ASKED, operation, f"{self.person} asked for a new attempt {which}.")
        self.store.retry(operation.id, node, self.person, event)
        self.wakeups.wake(operation.id)

    def skip(self, operation: Operation, node: str) -> None:
        sentence = f"{self.person} asked to go on without {node}; it is given back as it is."
        event = self._event(Happened.SKIP_ASKED, operation, sentence)
        self.store.skip(operation.id, self.store.plan(operation.plan_id).plan, node, self.person, event)
        self.wakeups.wake(operation.id)

    def extend(self, operation: Operation, node: str, minutes: int) -> None:
        sentence = f"{self.person} gave the drain of {node} {minutes} more min."
        event = self._event(Happened.EXTEND_ASKED, operation, sentence)
        self.store.extend(operation.id, self.store.plan(operation.plan_id).plan, node, minutes, event)
        self.wakeups.wake(operation.id)

    def ignore_alert(self, operation: Operation, alert: str, minutes: int, reason: str) -> None:
        """Let the run go on in spite of one alert that keeps it; raises Refused for whoever may not approve."""
        person = self.person
        if stops := blockers(check_person(None, person, {}, self.settings)):
            raise Refused(_sentence(stops[0]), stops)
        sentence = tell_spared(person, (alert,), minutes, reason)
        event = self._event(Happened.ALERT_SPARED, operation, sentence)
        self.store.spare(operation.id, (alert,), person, reason, minutes, event)
        self.wakeups.wake(operation.id)

    def check_locked(self, cluster: str) -> tuple[str, str]:
        """The cluster's name and the operation that holds its lock; refused before anybody is asked to type it."""
        name, _ = self.settings.cluster(cluster)
        holder = self.store.lock_holder(name)
        if holder is None:
            raise Refused(f"No operation holds the lock of `{name}`: there is nothing to release.")
        return name, holder

    def release(self, cluster: str, typed: str) -> str:
        """Release the cluster's lock; `typed` must repeat the operation's id. The answer says what is left behind."""
        name, holder = self.check_locked(cluster)
        if typed != holder:
            raise Refused(f"The lock of `{name}` is held by {holder}: type exactly that to release it.")
        operation = self.store.operation(holder)
        sentence = tell_release(operation, self.person)
        self.store.release(name, holder, self.person, self._event(Happened.LOCK_RELEASED, operation, sentence))
        return sentence

    def _event(self, kind: Happened, operation: Operation, sentence: str) -> Event:
        return Event(
            kind,
            _now(),
            operation.cluster,
            sentence,
            plan_id=operation.plan_id,
            operation_id=operation.id,
            person=self.person,
        )


def store_findings(store: Store, now: datetime) -> tuple[Finding, ...]:
    """What `doctor` says of Redis; an unreachable one is a finding, not an exception."""
    try:
        return (*store.check_clock(now), *store.check())
    except StoreUnavailable as error:
        remedy = "Start Redis, or correct REDIS_URL."
        return (Finding("redis-unreachable", Severity.BLOCKER, "Redis", str(error), remedy),)


def _sentence(finding: Finding) -> str:
    return f"{finding.sentence} {finding.remedy}"


def _now() -> datetime:
    return datetime.now(UTC)

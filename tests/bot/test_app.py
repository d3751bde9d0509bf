"""Every payload gets an answer, and an approval is what the rules say, however it is clicked."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.plan_card import APPROVE, DETAILS, REJECT
from bot.report_card import FILE, LISTING, SHARE
from cluster.errors import ClusterUnreadable
from cluster.findings import Severity
from cluster.plan import PlanStatus
from cluster.signing import is_genuine
from lab.slack.people import BOT_USER
from lab.slack.workspace import ChangeKind
from policies.voiding import sight
from tests.bot_desk import ADA, GRACE, GUS, LINUS, OLGA, desk, quiet_desk
from tests.bot_fixture import CHANNEL, finding, report
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]

ELSEWHERE = "C0RANDOM"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/k8s", "versions [cluster]"),
        ("/k8s help", "plan <version> [cluster]"),
        ("/k8s verions", "did you mean `versions`?"),
        ("/k8s plan banana", "`banana` is not a version"),
        ("/k8s plan v1.35.4 nowhere", "There is no cluster `nowhere`"),
        ("/k8s versions nowhere", "There is no cluster `nowhere`"),
        ("/k8s versions", "v1.34.7"),
        ("/k8s status", "Nothing is proposed"),
        ("/k8s pause", "Nothing runs on `prod`"),
        ("/k8s retry w-1", "Nothing runs on `prod`"),
    ],
)
def test_a_typed_command_is_answered_to_the_one_who_typed(desk, typed, words):
    """Ephemeral, one answer, whatever was typed."""
    desk.slack.say(ADA, CHANNEL, typed)
    desk.told(ADA, words)
    assert len(desk.slack.ephemerals(ADA)) == 1
    assert desk.slack.messages(CHANNEL) == []


@pytest.mark.parametrize(
    ("typed", "helped"), [("/k8s verions", True), ("/k8s plan banana", False), ("/k8s plan", False)]
)
def test_only_an_unknown_command_brings_the_list_of_commands(desk, typed, helped):
    """A wrong word after a right command gets its one sentence."""
    desk.slack.say(ADA, CHANNEL, typed)
    desk.slack.wait_for(lambda it: it.ephemerals(ADA))
    assert ("retry [node]" in desk.slack.text(desk.slack.ephemerals(ADA)[0])) is helped


def test_a_mention_in_a_thread_is_answered_in_that_thread(desk):
    """Where slash commands do not work."""
    desk.slack.say(GRACE, CHANNEL, "Shall we upgrade?")
    root = desk.slack.messages(CHANNEL)[0]["ts"]
    desk.slack.say(ADA, CHANNEL, "<@U0LOCK> versions", root)
    desk.told(ADA, "v1.34.7")
    assert desk.slack.ephemerals(ADA)[0]["thread_ts"] == root


def test_a_report_can_be_shared_once_it_was_seen(desk):
    """The button shows it to the whole channel, without the button."""
    desk.slack.say(ADA, CHANNEL, "/k8s versions")
    desk.told(ADA, "v1.34.7")
    desk.slack.click(ADA, desk.slack.ephemerals(ADA)[0], SHARE)
    shared = desk.slack.wait_for(lambda it: it.messages(CHANNEL))
    assert "v1.34.7" in desk.slack.text(shared[0])
    assert not [b for b in shared[0]["blocks"] if b["type"] == "actions"]


def test_the_whole_list_comes_in_parts_to_the_one_who_asked(desk):
    """Every line and every image with its node; the channel sees nothing of it."""
    desk.slack.say(ADA, CHANNEL, "/k8s versions")
    desk.told(ADA, "v1.34.7")
    desk.slack.click(ADA, desk.slack.ephemerals(ADA)[0], LISTING)
    listed = desk.told(ADA, "Everything that runs in prod, part 1 of 1")
    assert "registry.k8s.io/kube-proxy" in listed
    assert desk.slack.messages(CHANNEL) == []


def test_the_whole_list_comes_as_a_file_for_everybody_in_the_channel(desk):
    """However much it is: the report as a terminal shows it, each image by its node."""
    desk.slack.say(ADA, CHANNEL, "/k8s versions")
    desk.told(ADA, "v1.34.7")
    desk.slack.click(ADA, desk.slack.ephemerals(ADA)[0], FILE)
    desk.told(ADA, "versions-prod.txt` is in this channel now")
    (message,) = desk.slack.messages(CHANNEL)
    assert message["files"][0]["name"] == "versions-prod.txt"
    (file,) = desk.slack.workspace.files.values()
    assert "registry.k8s.io/kube-proxy" in bytes(file["content"]).decode()


def test_without_a_name_there_is_a_line_for_each_of_several_clusters(quiet_desk):
    """The worst first; one that cannot be read is there too, and the fleet can be shared, also as a file."""
    quiet_desk.name_clusters("edge", "prod", "test")
    quiet_desk.observe_error = ClusterUnreadable("prod does not answer: look at its API server.")
    quiet_desk.start_bot()
    quiet_desk.slack.say(ADA, CHANNEL, "/k8s versions")
    said = quiet_desk.told(ADA, "3 clusters")
    assert said.index("unreadable") < said.index("edge") < said.index("test")
    assert "prod does not answer" in said
    quiet_desk.slack.click(ADA, quiet_desk.slack.ephemerals(ADA)[0], SHARE)
    shared = quiet_desk.slack.wait_for(lambda it: it.messages(CHANNEL))
    assert "prod does not answer" in quiet_desk.slack.text(shared[0])
    quiet_desk.slack.click(ADA, quiet_desk.slack.ephemerals(ADA)[0], FILE)
    quiet_desk.told(ADA, "versions.txt` is in this channel now")
    (file,) = quiet_desk.slack.workspace.files.values()
    assert "prod does not answer" in bytes(file["content"]).decode()
    quiet_desk.slack.say(ADA, CHANNEL, "/k8s versions edge")
    assert "v1.34.7" in quiet_desk.told(ADA, "Versions in edge")


def test_a_cluster_that_cannot_be_read_is_one_sentence(desk):
    """The deliberate error as it is."""
    desk.observe_error = ClusterUnreadable("prod does not answer: look at its API server.")
    desk.slack.say(ADA, CHANNEL, "/k8s versions")
    assert "look at its API server" in desk.told(ADA, "prod does not answer")


def test_a_mistake_of_ours_is_told_by_a_reference_only(desk, caplog):
    """The person gets no traceback, the log does."""
    desk.observe_error = KeyError("secret-detail")
    desk.slack.say(ADA, CHANNEL, "/k8s versions")
    said = desk.told(ADA, "Something went wrong inside lockkeeper")
    assert "secret-detail" not in said
    assert said.split("Ref ")[1].split(".")[0].strip() in caplog.text


def test_an_outsider_and_a_stranger_to_people_get_a_reason(desk):
    """Each refusal says why."""
    desk.slack.say(OLGA, CHANNEL, "/k8s versions")
    assert "prod" not in desk.told(OLGA, "own workspace only")
    desk.slack.say(GUS, CHANNEL, "/k8s plan v1.35.4")
    assert desk.told(GUS, "guest")
    assert desk.store.plans() == ()


def test_a_plan_that_is_asked_for_is_a_kept_request(desk):
    """It names who asked, for what, and where it will be decided, wherever it was typed."""
    desk.slack.say(ADA, ELSEWHERE, "/k8s plan v1.35")
    desk.told(ADA, "The plan will appear in")
    (request,) = desk.store.open_requests()
    assert (request.person, request.target, request.cluster, request.channel) == ("ada", "v1.35", "prod", CHANNEL)


def test_who_asks_for_a_plan_that_cannot_be_shown_learns_what_to_do(desk):
    """Nobody invited the bot to the cluster's channel, or it was archived: the card would be waited for in vain."""
    members = desk.slack.directory.channels[CHANNEL].members
    desk.slack.directory.change_channel(CHANNEL, members=members - {BOT_USER})
    for place in (CHANNEL, ELSEWHERE):
        desk.slack.say(ADA, place, "/k8s plan v1.35")
    told = desk.slack.wait_for(lambda it: len(it.ephemerals(ADA)) == 2 and it.ephemerals(ADA))
    for message in told:
        assert "may not post in" in desk.slack.text(message)
        assert "/invite it there" in desk.slack.text(message)
    assert len(desk.store.open_requests()) == 2
    desk.slack.directory.change_channel(CHANNEL, members=members)
    desk.slack.say(ADA, CHANNEL, "/k8s plan v1.35")
    assert desk.told(ADA, "The plan will appear here")
    assert len(desk.slack.ephemerals(ADA)) == 3


def test_an_approver_approves_by_one_click(desk):
    """Signed over the whole digest, kept with its evidence; the card loses its buttons and names who did it."""
    made = desk.propose()
    desk.approve(GRACE, made)
    desk.told(GRACE, "Approved by you")
    (operation,) = desk.store.operations()
    approval = desk.store.approval(operation.id)
    assert desk.store.plan(made.id).status is PlanStatus.APPROVED
    assert (approval.statement.person, approval.statement.digest) == ("grace", made.digest)
    assert is_genuine(approval, bot_key=desk.settings.approvals.public_key, person_keys=())
    desk.slack.wait_for(lambda it: "Approved by grace" in it.text(it.messages(CHANNEL)[0]))
    assert APPROVE not in str(desk.slack.messages(CHANNEL)[0]["blocks"])
    desk.slack.wait_for(lambda it: any(operation.id in it.text(m) for m in it.messages(CHANNEL)[1:]))


def test_a_member_of_the_user_group_approves_with_evidence(desk):
    """What was seen in Slack at the click is kept, since workers never ask Slack."""
    made = desk.propose()
    desk.approve(LINUS, made)
    desk.told(LINUS, "Approved by you")
    approval = desk.store.approval(desk.store.operations()[0].id)
    assert approval.statement.evidence.startswith("user group S0KEEPERS at ")


@pytest.mark.parametrize(
    ("user", "words"),
    [(ADA, "your own plan"), (GUS, "guest"), (OLGA, "own workspace only")],
)
def test_who_may_not_approve_is_told_why(desk, user, words):
    """Ada and Gus stand on the approver list and are refused all the same."""
    made = desk.propose()
    desk.approve(user, made)
    desk.told(user, words)
    assert desk.store.plan(made.id).status is PlanStatus.PROPOSED
    assert desk.store.operations() == ()


def test_somebody_who_left_the_group_cannot_approve(desk):
    """The group is asked at the click."""
    desk.slack.directory.change_group("S0KEEPERS", members=("U0GRACE",))
    made = desk.propose()
    desk.approve(LINUS, made)
    desk.told(LINUS, "approvers")
    assert desk.store.operations() == ()


def test_a_group_that_cannot_be_read_approves_nobody(desk):
    """It fails closed, with a sentence."""
    made = desk.propose()
    desk.slack.rate_limit("usergroups.users.list", retry_after=1, times=5)
    desk.approve(LINUS, made)
    desk.told(LINUS, "cannot say who is in the user group")
    assert desk.store.operations() == ()


def test_an_expired_plan_cannot_be_approved(desk):
    """The click comes too late."""
    made = desk.propose()
    desk.offset = timedelta(hours=2)
    desk.approve(GRACE, made)
    desk.told(GRACE, "expired")
    assert desk.store.operations() == ()


def test_a_button_of_another_digest_cannot_approve(desk):
    """What counts is the record; the button only names it."""
    made = desk.propose()
    message = next(m for m in desk.slack.messages(CHANNEL) if m["ts"] == desk.card(made))
    forged = str(message["blocks"]).count(made.token)
    assert forged
    for stored in desk.slack.workspace.timeline:
        for block in stored.body.get("blocks", ()):
            for element in block.get("elements", ()):
                if element.get("value") == made.token:
                    element["value"] = f"{made.id}:00000000"
    desk.approve(GRACE, made)
    desk.told(GRACE, "digest")
    assert desk.store.operations() == ()


def test_a_plan_cannot_be_decided_in_another_channel(desk):
    """Even if its card is copied there."""
    made = desk.propose(channel=ELSEWHERE)
    desk.approve(GRACE, made)
    desk.told(GRACE, "channel")
    assert desk.store.operations() == ()


def test_a_cluster_that_another_installation_upgrades_cannot_be_approved(desk):
    """Its Lease in the cluster names it."""
    desk.lease = "other/op-99999999"
    made = desk.propose()
    desk.approve(GRACE, made)
    desk.told(GRACE, "another installation, `other/op-99999999`")
    assert desk.store.operations() == ()


def test_clicks_at_the_same_time_make_one_operation(desk):
    """One wins, the others are told who was first."""
    made = desk.propose()
    desk.slack.duplicates()
    clicks = [threading.Thread(target=desk.approve, args=(user, made)) for user in (GRACE, LINUS)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    desk.slack.wait_for(lambda it: len(it.ephemerals(GRACE)) + len(it.ephemerals(LINUS)) == 4)
    texts = [desk.slack.text(m) for u in (GRACE, LINUS) for m in desk.slack.ephemerals(u)]
    assert sum("Approved by you" in t for t in texts) == 1
    assert sum("already approved by" in t.lower() for t in texts) == 3
    assert len(desk.store.operations()) == 1


def test_a_plan_that_the_cluster_moved_away_from_is_void_at_the_click(desk):
    """Held against what was stored last; the card says what changed, and a later click learns it, too."""
    made = desk.propose()
    seen = sight(replace(report(), read_at=desk.now() + timedelta(minutes=5)))
    rebuilt = tuple(replace(n, uid="uid-new") if n.name == "w-2" else n for n in seen.nodes)
    desk.store.save_sighting(replace(seen, nodes=rebuilt))
    desk.approve(GRACE, made)
    desk.told(GRACE, "is void: w-2 is another node than the one of the plan")
    stored = desk.store.plan(made.id)
    assert (stored.status, desk.store.operations()) == (PlanStatus.VOID, ())
    card = desk.slack.wait_for(lambda it: "Void" in it.text(it.messages(CHANNEL)[0]) and it.messages(CHANNEL)[0])
    assert "w-2 is another node" in str(card["blocks"])
    assert APPROVE not in str(card["blocks"])


def test_an_approver_confirms_to_have_read_the_release_notes_of_each_hop(quiet_desk):
    """Where the policy asks for it a window does; what was ticked is signed, and told in the run's thread."""
    approvals = quiet_desk.settings.approvals.model_copy(update={"confirm_release_notes": True})
    quiet_desk.settings = quiet_desk.settings.model_copy(update={"approvals": approvals})
    quiet_desk.start_bot()
    made = quiet_desk.propose()
    quiet_desk.approve(ADA, made)
    quiet_desk.told(ADA, "your own plan")
    quiet_desk.approve(GRACE, made)
    (view,) = quiet_desk.slack.wait_for(lambda it: it.views(GRACE))
    assert "CHANGELOG-1.35.md#urgent-upgrade-notes" in str(view["blocks"])
    assert quiet_desk.store.operations() == ()
    quiet_desk.slack.submit_view(GRACE, values={"read": ["v1.35"]})
    quiet_desk.told(GRACE, "Approved by you")
    (operation,) = quiet_desk.store.operations()
    approval = quiet_desk.store.approval(operation.id)
    assert approval.statement.notes_read == ("v1.35",)
    assert is_genuine(approval, bot_key=quiet_desk.settings.approvals.public_key, person_keys=())

    def told_in_the_run(slack):
        said = [m for m in slack.messages(CHANNEL) if "the release notes of v1.35" in slack.text(m)]
        return {m["thread_ts"] for m in said if m["thread_ts"] != quiet_desk.card(made)}

    quiet_desk.slack.wait_for(told_in_the_run)


def test_a_blocked_plan_has_no_button_and_cannot_be_approved(desk):
    """A button that was made up is refused by the same rules."""
    made = desk.propose(findings=(finding(Severity.BLOCKER),))
    message = next(m for m in desk.slack.messages(CHANNEL) if m["ts"] == desk.card(made))
    assert APPROVE not in str(message["blocks"])


def test_a_rejection_asks_why_and_says_it_on_the_card(desk):
    """Modal, reason, card and thread."""
    made = desk.propose()
    desk.slack.click(GRACE, desk.card(made), REJECT)
    desk.slack.wait_for(lambda it: it.views(GRACE))
    desk.slack.submit_view(GRACE, values={"text": "Not <today>"})
    desk.told(GRACE, "Rejected")
    stored = desk.store.plan(made.id)
    assert (stored.status, stored.decided_by, stored.reason) == (PlanStatus.REJECTED, "grace", "Not <today>")
    desk.slack.wait_for(lambda it: "Rejected by grace" in it.text(it.messages(CHANNEL)[0]))


def test_the_full_plan_opens_for_whoever_may_see_the_card(desk):
    """Exact packages, every machine, the whole digest; a trigger is short, so the window is there before they are."""
    made = desk.propose()
    desk.slack.rate_limit("users.info")
    desk.slack.click(LINUS, desk.card(made), DETAILS)
    desk.slack.wait_for(lambda it: "Slack cannot say who you are right now" in str(it.views(LINUS)))
    desk.slack.click(LINUS, desk.card(made), DETAILS)
    (view,) = desk.slack.wait_for(lambda it: made.digest in str(it.views(LINUS)) and it.views(LINUS))
    assert "1.35.4-1.1" in str(view["blocks"])
    windows = [c.what["views"][0]["blocks"] for c in desk.slack.changes() if c.kind is ChangeKind.VIEW]
    assert ["Reading the plan" in str(w) for w in windows] == [True, False, True, False]


def test_a_bot_starts_while_slack_is_down(quiet_desk, caplog):
    """It waits for Slack and is there when Slack is."""
    quiet_desk.slack.outage()
    starter = threading.Thread(target=quiet_desk.start_bot)
    starter.start()
    quiet_desk.slack.wait_for(lambda _: "Slack cannot be reached" in caplog.text)
    quiet_desk.slack.outage(False)
    starter.join(30)
    quiet_desk.slack.say(ADA, CHANNEL, "/k8s help")
    assert "plan <version>" in quiet_desk.told(ADA, "versions [cluster]")


def test_an_unknown_person_learns_how_to_become_known(desk):
    """A member of the workspace who is in nobody's `people`."""
    desk.slack.directory.people["U0NEW"] = replace(desk.slack.directory.people[GRACE], id="U0NEW")
    desk.slack.directory.change_channel(CHANNEL, members=(*desk.slack.directory.channels[CHANNEL].members, "U0NEW"))
    desk.slack.say("U0NEW", CHANNEL, "/k8s plan v1.35.4")
    assert "U0NEW" in desk.told("U0NEW", "belongs to nobody in `people`")
    assert desk.store.plans() == ()

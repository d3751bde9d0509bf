"""Consents are given by name, and only those that there are."""

import pytest

from cluster.errors import Refused
from policies.consents import Consents, read_consents


@pytest.mark.parametrize(
    ("words", "consents"),
    [
        ((), Consents()),
        (("no-etcdctl",), Consents(("no-etcdctl",))),
        (("NO-ETCDCTL,two-member-etcd",), Consents(("no-etcdctl", "two-member-etcd"))),
        (("delete-emptydir", "no-etcdctl"), Consents(("no-etcdctl",), {"delete_emptydir": True})),
        (("workers-within-skew",), Consents((), {"workers": "within-skew"})),
    ],
)
def test_words_become_findings_accepted_and_options_set(words, consents):
    """Order, case and commas do not matter: the same consent gives the same digest."""
    assert read_consents(words) == consents


@pytest.mark.parametrize("word", ["everything", "hand-edited-apiserver", "no_etcdctl"])
def test_nothing_else_can_be_accepted(word):
    """A blocker that nobody can consent to stays one; the answer names what there is."""
    known = "`no-etcdctl`, `removed-api-in-use`, `two-member-etcd`, `delete-emptydir`, `delete-unmanaged`"
    with pytest.raises(Refused, match=known):
        read_consents((word,))


def test_two_words_for_one_option_contradict_each_other():
    """Nobody guesses which of them was meant."""
    with pytest.raises(Refused, match="`workers-every-hop` and `workers-within-skew` contradict"):
        read_consents(("workers-within-skew", "workers-every-hop"))

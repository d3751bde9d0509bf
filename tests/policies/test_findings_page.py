"""docs/findings.md has a heading for each finding and says how each was shown; each is named in a test."""

import re

from tests.findings_table import PAGE, make_table, named_in_tests, seen_on_recordings, table_of, used_codes


def test_every_code_has_its_own_heading():
    """A finding that nobody can look up is half a finding; no heading is left over."""
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == set(used_codes())


def test_every_finding_is_named_in_a_test():
    """What nobody has seen once is only hoped for."""
    assert not set(used_codes()) - set(named_in_tests())


def test_the_table_of_findings_is_what_the_code_and_the_recordings_say():
    """Weights, and what shows each finding."""
    wanted = make_table()
    assert table_of(PAGE.read_text(encoding="utf-8")) == wanted, "write it anew with: python -m tests.findings_table"


def test_recordings_of_a_real_cluster_show_what_happened_to_it():
    """Among them nothing that blocks a sound cluster."""
    seen = seen_on_recordings()
    assert seen["hand-edited-apiserver"] == ["drift"]
    assert seen["kubeadm-config-ahead"] == ["mixed"]
    assert seen["kube-proxy-behind"] == ["applied"]

"""While thousands of objects are read Python's collector rests, and works again after it, whatever happens."""

from __future__ import annotations

import gc

import pytest

from cluster.collector import uncollected
from cluster.facts import MachineFacts
from cluster.store.records import SURVEY
from tests import scale_fixture as scale


def test_the_collector_rests_for_a_reading_and_no_longer():
    """Also for one inside of another, one that fails, and in a process that does without it."""
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="half a page"), uncollected():
        raise ValueError("half a page")
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_machines_that_run_the_same_version_share_it_when_their_survey_is_read():
    """Thousands of them have a dozen: each is read, and kept, once."""
    survey = scale.survey(8)
    read = SURVEY.validate_json(SURVEY.dump_json(survey))
    assert read == survey
    first, *others = (m.facts for m in read.machines if isinstance(m.facts, MachineFacts))
    assert all(f.kubelet is first.kubelet for f in others)
    assert len({id(offer.versions[0]) for m in read.machines for offer in m.offers}) <= 2

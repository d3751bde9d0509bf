"""Selectors of the API: each operator, and what an empty or a missing one selects."""

import pytest

from cluster.labels import Operator, Requirement, read_selector

LABELS = {"app": "web", "tier": "front", "rank": "7"}


@pytest.mark.parametrize(
    ("raw", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "shop"]}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "In", "values": [""]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
    ],
)
def test_a_selector_selects_what_meets_every_requirement(raw, selected):
    """Labels and expressions together."""
    selector = read_selector(raw)
    assert selector is not None
    assert selector.selects(LABELS) is selected


def test_no_selector_selects_nothing():
    """Unlike an empty one."""
    assert read_selector(None) is None


def test_an_operator_that_there_is_not_is_refused():
    """Rather than taken for another one."""
    with pytest.raises(ValueError, match="Near"):
        read_selector({"matchExpressions": [{"key": "app", "operator": "Near"}]})


@pytest.mark.parametrize(
    ("operator", "values", "held"),
    [
        (Operator.GT, ("6",), True),
        (Operator.GT, ("7",), False),
        (Operator.LT, ("8",), True),
        (Operator.LT, ("x",), False),
        (Operator.LT, (), False),
    ],
)
def test_a_node_selector_also_compares_numbers(operator, values, held):
    """A value that is none compares with nothing."""
    assert Requirement("rank", operator, values).holds(LABELS) is held

"""How the layers of a request are merged."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.settings.merge import NAMES, merge

LEAVES = st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
FIELDS = st.sampled_from(["A", "B", "C"])
NAMED = st.lists(
    st.fixed_dictionaries({"Key": st.sampled_from(["x", "y", "z"])}, optional={"Value": LEAVES}),
    max_size=3,
    unique_by=lambda item: str(item["Key"]),
)
TABLES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(FIELDS, LEAVES, max_size=3),
    lambda below: st.dictionaries(FIELDS, LEAVES | below, max_size=3),
    max_leaves=8,
)
LAYERS = st.builds(lambda table, tags: {**table, "Tags": tags}, TABLES, NAMED) | TABLES


@given(LAYERS)
def test_a_layer_alone_stays_as_it_is(layer: dict[str, Any]) -> None:
    assert merge(layer) == merge({}, layer) == merge(layer, {}) == merge(layer, layer) == layer


@given(LAYERS, LAYERS, LAYERS)
def test_layers_can_be_merged_in_any_grouping(
    low: dict[str, Any], middle: dict[str, Any], high: dict[str, Any]
) -> None:
    together = merge(low, middle, high)
    assert together == merge(merge(low, middle), high)
    assert merge(low, high, high) == merge(low, high)


@given(LAYERS, LAYERS)
def test_every_value_of_the_higher_layer_is_in_the_result(
    low: dict[str, Any], high: dict[str, Any]
) -> None:
    def check(part: Any, merged: Any) -> None:
        if not isinstance(part, dict):
            assert merged == part
            return
        for key, value in part.items():
            if key in NAMES:
                names = [item["Key"] for item in merged[key]]
                assert len(names) == len(set(names))
                for item in value:
                    check(item, merged[key][names.index(item["Key"])])
            else:
                check(value, merged[key])

    check(high, merge(low, high))


@given(LAYERS, LAYERS)
def test_merging_changes_no_layer_and_shares_nothing(
    low: dict[str, Any], high: dict[str, Any]
) -> None:
    before = copy.deepcopy((low, high))
    made = merge(low, high)
    for value in made.values():
        if isinstance(value, list):
            value.append(0)
        elif isinstance(value, dict):
            value["new"] = 0
    assert (low, high) == before


@pytest.mark.parametrize(("field", "key"), NAMES.items())
def test_lists_of_named_items_are_merged_by_name(field: str, key: str) -> None:
    low = {field: [{key: "a", "X": {"p": 1, "q": 2}}, {key: "b"}]}
    high = {field: [{key: "c"}, {key: "a", "X": {"q": 3}}]}
    assert merge(low, high) == {field: [{key: "a", "X": {"p": 1, "q": 3}}, {key: "b"}, {key: "c"}]}


def test_other_lists_are_replaced() -> None:
    assert merge({"Subnets": ["a", "b"]}, {"Subnets": ["c"]}) == {"Subnets": ["c"]}


@pytest.mark.parametrize("value", [1, "x", [1], [{}], [{"Key": []}], None, {"Key": "a"}])
def test_a_wrong_type_is_kept_for_the_check_that_reports_it(value: Any) -> None:
    assert merge({"Tags": value})["Tags"] == value
    assert merge({"Tags": [{"Key": "a"}]}, {"Tags": value})["Tags"] is not None or value is None
    assert merge({"Tags": value}, {"Tags": [{"Key": "a"}]})["Tags"]


ONE = {"InstanceType": "a", "InstanceCount": 2}
PLAIN = [{"InstanceType": "b"}, {"InstanceType": "c"}]
COUNTED = [{"InstanceType": "b", "InstanceCount": 3}, {"InstanceType": "c", "InstanceCount": 4}]


@pytest.mark.parametrize(
    ("low", "high", "merged"),
    [
        (ONE, {"InstanceType": "z"}, {"InstanceType": "z", "InstanceCount": 2}),
        (ONE, {"InstanceCount": 5}, {"InstanceType": "a", "InstanceCount": 5}),
        (ONE, {"VolumeSizeInGB": 5}, {**ONE, "VolumeSizeInGB": 5}),
        (
            ONE,
            {"InstancePreferences": PLAIN},
            {"InstancePreferences": PLAIN, "InstanceCount": 2},
        ),
        (ONE, {"InstancePreferences": COUNTED}, {"InstancePreferences": COUNTED}),
        ({"InstancePreferences": PLAIN}, ONE, ONE),
        ({"InstancePreferences": COUNTED}, ONE, ONE),
        (
            {"InstancePreferences": COUNTED},
            {"InstanceCount": 5},
            {"InstancePreferences": PLAIN, "InstanceCount": 5},
        ),
        (
            {"InstancePreferences": COUNTED},
            {"InstancePreferences": PLAIN[:1]},
            {"InstancePreferences": PLAIN[:1]},
        ),
    ],
)
def test_one_type_and_several_exclude_each_other(
    low: dict[str, Any], high: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert merge({"ClusterConfig": low}, {"ClusterConfig": high}) == {"ClusterConfig": merged}

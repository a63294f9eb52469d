"""A metric is a finite number below keys of a JSON file; anything else is a clear failure."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.settings.metric import Metric, MetricError

METRIC = Metric("fit", "model", "report.json", "score", limit=0.5, lower_is_better=False)
NESTED = Metric("fit", "model", "test/m.json", "classes.a.rmse", limit=2, lower_is_better=True)


def test_the_option_is_named_after_the_metric() -> None:
    assert METRIC.option == "min_score"
    assert NESTED.option == "max_classes_a_rmse"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_every_finite_number_is_read_and_compared(number: float) -> None:
    assert METRIC.read(json.dumps({"score": number}).encode()) == number
    assert NESTED.read(json.dumps({"classes": {"a": {"rmse": number}}}).encode()) == number
    assert METRIC.accepts(number) == (number >= 0.5)
    assert NESTED.accepts(number) == (number <= 2)


def test_a_limit_is_good_enough() -> None:
    assert METRIC.accepts(0.5)
    assert NESTED.accepts(2)
    assert METRIC.describe(0.5) == "score 0.5 (minimum 0.5)"
    assert NESTED.describe(1.5) == "classes.a.rmse 1.5 (maximum 2)"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ("0.9", "a string"),
        (float("nan"), "NaN"),
        (float("inf"), "infinite"),
        (float("-inf"), "infinite"),
        ([0.9], "a list"),
        ({"mean": 0.9}, "an object"),
    ],
    ids=repr,
)
def test_what_is_no_finite_number_is_rejected(value: Any, kind: str) -> None:
    with pytest.raises(MetricError) as caught:
        METRIC.read(json.dumps({"score": value}).encode())
    assert f"'score' in report.json of fit is {kind} instead of a number" in str(caught.value)
    assert "0.9" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "test/m.json of fit is not JSON"),
        ("{", "test/m.json of fit is not JSON"),
        ("\xff", "test/m.json of fit is not JSON"),
        ("[" * 100_000, "test/m.json of fit is not JSON"),
        ("[1]", "test/m.json of fit is a list instead of an object with 'classes'"),
        ("{}", "test/m.json of fit has no key 'classes'; it has no keys"),
        ('{"class": 1, "x": 2}', "no key 'classes'; it has class, x"),
        ('{"classes": 7}', "'classes' in test/m.json of fit is a number instead of an object"),
        ('{"classes": {"b": 1}}', "'classes' in test/m.json of fit has no key 'a'"),
        ('{"classes": {"a": null}}', "'classes.a' in test/m.json of fit is null"),
        ('{"classes.a.rmse": 1}', "no key 'classes'"),
    ],
)
def test_a_missing_number_is_reported_with_its_place(content: str, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        NESTED.read(content.encode("latin-1"))
    assert message in str(caught.value)

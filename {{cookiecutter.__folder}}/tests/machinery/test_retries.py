"""A step is started again as ``launch.toml`` says, in the words of a pipeline's definition."""

from pathlib import Path

import pytest

from launch import LaunchError
from launch.pipelines import retries

CAPACITY = """\
[[pipeline.retries]]
ExceptionType = ["SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"]
IntervalSeconds = 300
BackoffRate = 1.5
ExpireAfterMin = 720
"""


@pytest.fixture
def table(small_pipeline: Path) -> Path:
    return small_pipeline / "launch.toml"


def policy(fields: str) -> str:
    return f'[[pipeline.retries]]\nExceptionType = ["Step.THROTTLING"]\n{fields}'


def test_faults_of_aws_are_retried_unless_the_table_says_otherwise(table: Path) -> None:
    for text in ("", '[pipeline]\njobs = ["fit"]'):
        table.write_text(text)
        found = [name for each in retries.policies() for name in each["ExceptionType"]]
        assert sorted(found) == [
            "SageMaker.CAPACITY_ERROR",
            "SageMaker.JOB_INTERNAL_ERROR",
            "Step.SERVICE_FAULT",
            "Step.THROTTLING",
        ]
        assert all(1 <= each["MaxAttempts"] <= 20 for each in retries.policies())


def test_the_policies_of_the_table_replace_those_of_the_launch(table: Path) -> None:
    table.write_text(CAPACITY + policy("MaxAttempts = 3"))
    assert retries.policies() == [
        {
            "ExceptionType": ["SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"],
            "IntervalSeconds": 300,
            "BackoffRate": 1.5,
            "ExpireAfterMin": 720,
        },
        {"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 3},
    ]


def test_no_policy_may_be_wanted(table: Path) -> None:
    table.write_text("pipeline.retries = []")
    assert retries.policies() == []


@pytest.mark.parametrize(
    "fields",
    [
        "MaxAttempts = 0",
        "MaxAttempts = 20",
        "ExpireAfterMin = 14400",
        "IntervalSeconds = 43200",
        "BackoffRate = 2",
        "",
    ],
    ids=str,
)
def test_values_up_to_the_limits_are_accepted(table: Path, fields: str) -> None:
    table.write_text(policy(fields))
    assert len(retries.policies()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (policy("MaxAttemps = 1"), r"pipeline.retries\[0\].MaxAttemps; did you mean MaxAttempts"),
        (CAPACITY + policy("Wait = 1"), r"pipeline.retries\[1\].Wait; choose from ExceptionType"),
        (policy("MaxAttempts = 21"), r"retries\[0\].MaxAttempts: 21 .*0 to 20"),
        (policy("MaxAttempts = -1"), r"retries\[0\].MaxAttempts: -1"),
        (policy("MaxAttempts = 1.5"), r"retries\[0\].MaxAttempts: 1.5"),
        (policy("MaxAttempts = true"), r"retries\[0\].MaxAttempts: True"),
        (policy('MaxAttempts = "5"'), r"retries\[0\].MaxAttempts: '5'"),
        (policy("ExpireAfterMin = 14401"), r"retries\[0\].ExpireAfterMin: 14401 .* 0 to 14400"),
        (policy("IntervalSeconds = 43201"), r"retries\[0\].IntervalSeconds: 43201 .* 0 to 43200"),
        (policy("BackoffRate = -0.5"), r"retries\[0\].BackoffRate: -0.5"),
        (policy("BackoffRate = nan"), r"retries\[0\].BackoffRate: nan"),
        (policy("BackoffRate = inf"), r"retries\[0\].BackoffRate: inf"),
        (policy("MaxAttempts = 1\nExpireAfterMin = 1"), "MaxAttempts.*ExpireAfterMin"),
        ("[[pipeline.retries]]\nMaxAttempts = 1", r"retries\[0\] needs ExceptionType"),
        ("[[pipeline.retries]]\nExceptionType = []", r"retries\[0\].ExceptionType"),
        (
            '[[pipeline.retries]]\nExceptionType = "Step.THROTTLING"',
            r"retries\[0\].ExceptionType: 'Step.THROTTLING' is not a list",
        ),
        (
            '[[pipeline.retries]]\nExceptionType = ["SageMaker.CAPACITY_EROR"]',
            r"retries\[0\].ExceptionType.*did you mean SageMaker.CAPACITY_ERROR",
        ),
        (
            CAPACITY + CAPACITY,
            r"retries\[1\].ExceptionType.*SageMaker.CAPACITY_ERROR.*retries\[0\]",
        ),
        ("pipeline.retries = 5", r"pipeline.retries must be tables: \[\[pipeline.retries\]\]"),
        ("pipeline.retries = [5]", r"pipeline.retries must be tables"),
        ("[pipeline.retries]\nMaxAttempts = 5", r"pipeline.retries must be tables"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_its_place(table: Path, text: str, message: str) -> None:
    table.write_text(text)
    with pytest.raises(LaunchError, match=f"^launch.toml: .*{message}"):
        retries.policies()

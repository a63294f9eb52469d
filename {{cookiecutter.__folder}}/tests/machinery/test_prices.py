"""What a run costs, by the price list of AWS or not at all."""

import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aws_faults import REGION, Faults
from launch.__main__ import main
from launch.aws import prices
from launch.aws.prices import Price, UnknownPriceError
from launch.backends import sagemaker
from launch.run import Run, Usage
from launch.settings import project
from test_execution import answer

SMALL, LARGE = "ml.m5.xlarge", "ml.m5.4xlarge"


def request(cluster: Mapping[str, Any], seconds: int = 3600) -> dict[str, Any]:
    return {
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
    }


def listed(types: Sequence[str]) -> Mapping[str, Price]:
    known = {SMALL: Price(Decimal("0.25"), "USD"), LARGE: Price(Decimal(1), "USD")}
    return {name: known[name] for name in types}


def unknown(_: Sequence[str]) -> Mapping[str, Price]:
    raise UnknownPriceError("denied")


def test_the_ceiling_is_the_time_limit_of_all_instances() -> None:
    made = request({"InstanceType": SMALL, "InstanceCount": 3}, 7200)
    shown = prices.ceiling([made], listed)
    assert shown.startswith(f"ceiling: 1.50 USD: 3 x {SMALL} for at most 2 h;")
    assert f"{SMALL} 0.25 USD/h" in shown
    assert prices.ceiling([made, made], listed).startswith("ceiling: 3.00 USD: 2 jobs of 3 x")


def test_the_most_expensive_preference_is_the_ceiling() -> None:
    pairs = [(SMALL, 2), (LARGE, 1), (SMALL, 5)]
    preferences = [{"InstanceType": name, "InstanceCount": count} for name, count in pairs]
    shown = prices.ceiling([request({"InstancePreferences": preferences})], listed)
    assert shown.startswith("ceiling: 1.25 USD:")


def test_the_cost_is_that_of_the_time_that_was_used() -> None:
    usages = [Usage(SMALL, 2, 90.0), Usage(LARGE, 1, 36.0)]
    assert prices.cost(usages, listed).startswith("cost: 0.0225 USD: 2 x ml.m5.xlarge for 90 s, ")
    assert prices.cost([], listed) == ""


def test_a_price_that_cannot_be_read_is_unknown() -> None:
    made = request({"InstanceType": SMALL, "InstanceCount": 1})
    assert prices.ceiling([made], unknown).startswith(f"ceiling: unknown: 1 x {SMALL}")
    shown = prices.cost([Usage(SMALL, 1, 90.0)], unknown)
    assert shown.startswith("cost: unknown:")
    assert "denied" in shown


# The price list


def product(name: str, amount: str, usage: str = "EU-Processing", **fields: Any) -> str:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": amount}} | fields
    return json.dumps(
        {
            "product": {"attributes": {"usagetype": f"{usage}:{name}", "instanceName": name}},
            "terms": {"OnDemand": {"X.Y": {"priceDimensions": {"X.Y.Z": dimension}}}},
        }
    )


def serve(account: Faults, *products: str) -> list[dict[str, Any]]:
    """Let the price list have products; the list returned has the requests."""
    requests: list[dict[str, Any]] = []

    def list_products(request: Any) -> Any:
        requests.append(json.loads(request.body) | {"url": request.url})
        return answer({"FormatVersion": "aws_v1", "PriceList": products})

    account.intercept("GetProducts", list_products)
    return requests


def test_one_call_asks_for_all_types_in_the_region_of_the_project(faults: Faults) -> None:
    requests = serve(faults, product(SMALL, "0.2300000000"), product(LARGE, "0.92"))
    assert prices.read([LARGE, SMALL, LARGE]) == {
        SMALL: Price(Decimal("0.23"), "USD"),
        LARGE: Price(Decimal("0.92"), "USD"),
    }
    (sent,) = requests
    assert "api.pricing.us-east-1." in sent["url"]
    assert sent["ServiceCode"] == "AmazonSageMaker"
    fields = {item["Field"]: item["Value"] for item in sent["Filters"]}
    assert fields["regionCode"] == REGION
    assert sorted(fields["instanceName"].split(",")) == sorted([SMALL, LARGE])


@pytest.mark.parametrize(
    "products",
    [
        pytest.param([], id="none"),
        pytest.param([product(LARGE, "1")], id="another type"),
        pytest.param([product(SMALL, "1", "EU-Processing_DW")], id="another feature"),
        pytest.param([product(SMALL, "1", unit="Quantity")], id="another unit"),
        pytest.param([product(SMALL, "1"), product(SMALL, "2")], id="several prices"),
        pytest.param(["{}"], id="another form"),
        pytest.param([product(SMALL, "much")], id="no number"),
    ],
)
def test_a_list_without_exactly_one_price_leaves_it_unknown(
    faults: Faults, products: Sequence[str]
) -> None:
    serve(faults, *products)
    with pytest.raises(UnknownPriceError, match="price list"):
        prices.read([SMALL])


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_denied_or_throttled_call_is_not_repeated(faults: Faults, code: str) -> None:
    faults.fail("GetProducts", code)
    with pytest.raises(UnknownPriceError, match=code):
        prices.read([SMALL])
    assert faults.calls["GetProducts"] == 1


def test_nothing_is_waited_for(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_PATIENCE_SECONDS", 0.01)
    faults.intercept("GetProducts", lambda _: time.sleep(0.5))
    with pytest.raises(UnknownPriceError, match="no answer"):
        prices.read([SMALL])


@pytest.mark.usefixtures("faults")
def test_a_partition_without_a_price_list_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-gov-west-1")
    with pytest.raises(UnknownPriceError, match="us-gov-west-1"):
        prices.read([SMALL])


# Where they are shown


def test_a_plan_for_sagemaker_shows_the_ceiling_beside_the_request(
    faults: Faults, small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(faults, product("ml.m5.xlarge", "0.25"))
    words = ["probe", "--input_path", str(small_project / "data"), "--image", "image", "--plan"]
    assert main([*words, "--backend", "sagemaker"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["ProcessingJobName"]
    assert shown.err.startswith("ceiling: 6.00 USD: 1 x ml.m5.xlarge for at most 24 h")
    assert faults.calls["GetProducts"] == 1
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    assert faults.calls["GetProducts"] == 1


@pytest.mark.usefixtures("small_pipeline")
def test_a_plan_of_a_deployed_pipeline_needs_no_aws(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "nowhere")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    raw = str(project.ROOT / "raw")
    assert main(["deploy", "--input_path.make_data", raw, "--plan"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["Steps"]
    assert shown.err.startswith("ceiling: unknown: 2 jobs of 1 x ml.m5.xlarge")


@pytest.mark.parametrize(
    ("cluster", "usage"),
    [
        ({"InstanceType": SMALL, "InstanceCount": 2}, Usage(SMALL, 2, 90.5)),
        ({"SelectedInstanceType": LARGE, "SelectedInstanceCount": 3}, Usage(LARGE, 3, 90.5)),
        ({}, None),
    ],
)
def test_a_job_that_has_ended_says_what_it_used(
    faults: Faults, monkeypatch: pytest.MonkeyPatch, cluster: Mapping[str, Any], usage: Usage | None
) -> None:
    times = {"CreationTime": 1000.0, "ProcessingStartTime": 1060.0, "ProcessingEndTime": 1150.5}
    resources = {"ProcessingResources": {"ClusterConfig": cluster}}
    state = {"ProcessingJobName": "job", "ProcessingJobStatus": "Failed"}
    described = {**state, **times, **resources}
    faults.intercept("DescribeProcessingJob", lambda _: answer(described))
    monkeypatch.setattr("launch.backends.sagemaker.QUIET_SECONDS", 0.0)
    monkeypatch.setattr("launch.backends.sagemaker.sleep", lambda _: None)
    assert sagemaker.follow("job", {}).usage == ((usage,) if usage else ())


def test_the_end_of_a_run_says_what_it_has_cost(
    small_project: Path,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(faults, product(SMALL, "0.25"))
    done = Run("name", "Failed", {}, exit_code=1, usage=(Usage(SMALL, 2, 7200.0),))
    monkeypatch.setattr("launch.backends.sagemaker.run", lambda *_: done)
    words = ["probe", "--input_path", str(small_project / "data"), "--image", "image"]
    assert main([*words, "--backend", "sagemaker"]) == 1
    assert "cost: 1.00 USD: 2 x ml.m5.xlarge for 2 h" in capsys.readouterr().out

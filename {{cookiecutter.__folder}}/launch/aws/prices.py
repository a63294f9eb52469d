"""The maximum cost of a run, and its actual cost, from the price list of AWS.

The price list has the on-demand price of an instance for an hour. Storage, data transfer, taxes and
discounts are not in these figures. A price that cannot be read is unknown, never estimated.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..run import Request, Usage
from ..settings.project import LaunchError
from . import clients, errors

_PATIENCE_SECONDS = 3.0
"""How long a launch waits for prices, credentials included."""

_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Where the price list of a partition can be read; others have none."""

_HOUR = Decimal(3600)


@dataclass(frozen=True)
class Price:
    """The price of an instance for an hour."""

    amount: Decimal
    currency: str


class UnknownPriceError(Exception):
    """There is no price; the text says why."""


Prices = Mapping[str, Price]
"""By instance type."""

Lookup = Callable[[Sequence[str]], Prices]
"""Returns the prices of instance types, or raises ``UnknownPriceError``."""


def ceiling(requests: Sequence[Request], lookup: Lookup | None = None) -> str:
    """Describe the maximum cost of jobs: each on its most expensive instances, to its time limit.

    Retries of a pipeline's steps are not included.
    """
    choices = [(_preferences(request), _seconds(request)) for request in requests]
    types = [name for preferences, _ in choices for name, _ in preferences]
    limits = _join(
        f"{' or '.join(f'{count} x {name}' for name, count in preferences)} "
        f"for at most {_duration(seconds)}"
        for preferences, seconds in choices
    )
    try:
        prices = (lookup or read)(types)
        amounts = [
            max(_amount(prices, name, count, seconds) for name, count in preferences)
            for preferences, seconds in choices
        ]
        return f"ceiling: {_money(amounts, prices)}: {limits}; {_list(types, prices)}"
    except UnknownPriceError as error:
        return f"ceiling: unknown: {limits}; {error}"


def cost(usages: Sequence[Usage], lookup: Lookup | None = None) -> str:
    """Describe the cost of the instances that were used; empty if there were none."""
    if not usages:
        return ""
    types = [usage.instance_type for usage in usages]
    used = _join(
        f"{usage.instance_count} x {usage.instance_type} for {_duration(usage.seconds)}"
        for usage in usages
    )
    try:
        prices = (lookup or read)(types)
        amounts = [
            _amount(prices, usage.instance_type, usage.instance_count, usage.seconds)
            for usage in usages
        ]
        return f"cost: {_money(amounts, prices)}: {used}; {_list(types, prices)}"
    except UnknownPriceError as error:
        return f"cost: unknown: {used}; {error}"


def read(types: Iterable[str]) -> Prices:
    """Return the prices of instance types in the project's region: one call, no retry.

    Raises:
        UnknownPriceError: A price is missing, the call failed, or it took too long.
    """
    answers: list[Prices | UnknownPriceError] = []

    def ask() -> None:
        try:
            with errors.as_launch_error("price list"):
                answers.append(_read(sorted(set(types))))
        except (LaunchError, UnknownPriceError) as error:
            answers.append(UnknownPriceError(str(error)))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            answers.append(UnknownPriceError(f"price list: its answer cannot be read: {error!r}"))

    # A thread, because credentials can take longer than any time limit of a client.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    answer = next(iter(answers), None)
    if answer is None:
        raise UnknownPriceError(f"price list: no answer within {_PATIENCE_SECONDS:g} s")
    if isinstance(answer, UnknownPriceError):
        raise answer
    return answer


def _read(types: Sequence[str]) -> Prices:
    from botocore.config import Config

    session = clients.session()
    region = session.region_name
    endpoint = _REGIONS.get(session.get_partition_for_region(region))
    if endpoint is None:
        raise UnknownPriceError(f"price list: there is none for {region}")
    config = Config(
        connect_timeout=_PATIENCE_SECONDS,
        read_timeout=_PATIENCE_SECONDS,
        retries={"total_max_attempts": 1},
    )
    answer = session.client("pricing", region_name=endpoint, config=config).get_products(
        ServiceCode="AmazonSageMaker",
        Filters=[
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
            {"Type": "TERM_MATCH", "Field": "component", "Value": "Processing"},
            {"Type": "ANY_OF", "Field": "instanceName", "Value": ",".join(types)},
        ],
        MaxResults=100,
    )
    products = [json.loads(item) for item in answer["PriceList"]]
    return {name: _price(name, region, products) for name in types}


def _price(instance_type: str, region: str, products: Sequence[Mapping[str, Any]]) -> Price:
    """Return the only price of an instance type among products.

    The usage type is what a bill names, such as ``EU-Processing:ml.m5.xlarge``. Products of other
    features, such as Data Wrangler's, have another one.
    """
    usage_type = re.compile(rf"([A-Z0-9]+-)?Processing:{re.escape(instance_type)}")
    prices = {
        Price(Decimal(amount), currency)
        for product in products
        if usage_type.fullmatch(product["product"]["attributes"].get("usagetype", ""))
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if dimension["unit"] in ("Hrs", "Hours")
        for currency, amount in dimension["pricePerUnit"].items()
    }
    if len(prices) != 1:
        found = "no price" if not prices else "several prices"
        raise UnknownPriceError(f"price list: {found} of {instance_type} in {region}")
    return prices.pop()


def _preferences(request: Request) -> list[tuple[str, int]]:
    """Return the instance types that a job may get, each with its number of instances."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    return [
        (each["InstanceType"], each.get("InstanceCount", 1))
        for each in cluster.get("InstancePreferences", [cluster])
    ]


def _seconds(request: Request) -> float:
    return float(request["StoppingCondition"]["MaxRuntimeInSeconds"])


def _amount(prices: Prices, instance_type: str, count: int, seconds: float) -> Decimal:
    return prices[instance_type].amount * count * Decimal(seconds) / _HOUR


def _money(amounts: Sequence[Decimal], prices: Prices) -> str:
    """Return an amount with enough decimals that a small amount does not appear as zero."""
    total = sum(amounts, Decimal(0))
    text = f"{total:.2f}" if total >= 1 else f"{total:.4f}"
    return f"{text} {next(iter(prices.values())).currency}"


def _list(types: Iterable[str], prices: Prices) -> str:
    listed = [
        f"{name} {prices[name].amount.normalize():f} {prices[name].currency}/h"
        for name in dict.fromkeys(types)
    ]
    return f"list price {', '.join(listed)}, without storage"


def _join(jobs: Iterable[str]) -> str:
    """List jobs; equal ones are counted."""
    return ", ".join(
        f"{number} jobs of {job} each" if number > 1 else job
        for job, number in Counter(jobs).items()
    )


def _duration(seconds: float) -> str:
    """Return a time in the largest unit that divides it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:.0f} s"

"""Adds ``AWS::Scheduler::Schedule`` and emails for events to moto's CloudFormation.

moto finds the models of resources by their base class, when it deploys its first stack: this module
must be imported before that.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.events.models import EventPattern
from moto.scheduler.models import scheduler_backends


class Schedule(CloudFormationModel):
    """A schedule of a stack, kept by moto's own EventBridge Scheduler."""

    __module__ = "moto.scheduler"  # moto keeps its models by the second part of this name

    def __init__(
        self, account_id: str, region: str, name: str, properties: Mapping[str, Any]
    ) -> None:
        self.name = name
        scheduler = scheduler_backends[account_id][region]
        if name in scheduler.schedule_groups["default"].schedules:
            scheduler.delete_schedule("default", name)
        scheduler.create_schedule(
            description=properties.get("Description", ""),
            end_date=None,  # type: ignore[arg-type]
            flexible_time_window=properties["FlexibleTimeWindow"],
            group_name="default",
            kms_key_arn=properties.get("KmsKeyArn", ""),
            name=name,
            schedule_expression=properties["ScheduleExpression"],
            schedule_expression_timezone=properties.get("ScheduleExpressionTimezone", "UTC"),
            start_date=None,  # type: ignore[arg-type]
            state=properties.get("State", "ENABLED"),
            target=properties["Target"],
            action_after_completion=None,
        )

    @property
    def physical_resource_id(self) -> str:
        return self.name

    def is_created(self) -> bool:
        return True

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Name"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Scheduler::Schedule"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> "Schedule":
        return cls(account_id, region_name, resource_name, cloudformation_json["Properties"])

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "Schedule",
        new_resource_name: str,  # noqa: ARG003
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> "Schedule":
        properties = cloudformation_json["Properties"]
        return cls(account_id, region_name, original_resource.name, properties)

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],  # noqa: ARG003
        account_id: str,
        region_name: str,
    ) -> None:
        scheduler_backends[account_id][region_name].delete_schedule("default", resource_name)


def emails(client: Any, event: Mapping[str, Any]) -> Iterator[str]:
    """Yield the addresses that the rules of an account send an event to.

    Args:
        client: Returns a client for a service.
        event: As EventBridge gets it.
    """
    events, sns = client("events"), client("sns")
    for rule in events.list_rules()["Rules"]:
        if "EventPattern" not in rule:
            continue
        pattern = json.loads(rule["EventPattern"])
        if not EventPattern(rule["EventPattern"], pattern).matches_event(event):  # type: ignore[arg-type]
            continue
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            found = sns.list_subscriptions_by_topic(TopicArn=target["Arn"])
            for subscription in found["Subscriptions"]:
                if subscription["Protocol"] == "email":
                    yield subscription["Endpoint"]

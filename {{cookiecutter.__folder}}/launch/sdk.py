"""The jobs as ``Processor`` objects of the SageMaker Python SDK, for teams that use it."""

import re
from collections.abc import Mapping
from typing import Any

from .aws import clients
from .backends.sagemaker import STAY_CLAIMED, claimed
from .requests import jobs, options, request
from .run import Request
from .settings import config, project
from .settings.project import LaunchError, SetupError
from .storage import s3

_NOT_HERE = ("backend", "plan", "wait")
"""Options of a launch that have no meaning here; ``run()`` has its own."""

# Sends no usage data, and lets no configuration file of the SDK add to the request.
_CONFIG = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


def processor(job_name: str, /, **values: Any) -> tuple[Any, dict[str, Any]]:
    """Return a ``Processor`` for a job, and the arguments with which its ``run()`` runs it once.

        processor, arguments = launch.processor("prepare", input_path="data/raw")
        processor.run(**arguments)

    Local inputs are uploaded, and the addresses of the outputs are claimed.

    Raises:
        LaunchError: The job cannot be launched, or the SDK is not installed.
    """
    _check_installed()
    for name in _NOT_HERE:
        if name in values:
            raise LaunchError(f"argument {name}: launch.processor has no such option")
    job = jobs.read(job_name)
    launch = options.parse(job, options.to_argv(job, {**values, "backend": "sagemaker"}))
    wanted = request.prepare(launch)
    _check_sent(wanted)
    key = config.output_key(job_name)
    for snapshot in launch.uploads:
        s3.upload(snapshot, key)
    claims = launch.chosen_outputs.values()
    advice = STAY_CLAIMED if claims else ""
    with claimed(claims, {"job": launch.name}, advice, key):
        return _processor(wanted), _run_arguments(wanted)


def _check_installed() -> None:
    try:
        import sagemaker.core.processing  # noqa: F401
    except ImportError as error:
        advice = "`make install GROUPS='dev launch sagemaker'` installs it"
        raise SetupError(f"the SageMaker SDK is not installed: {advice}") from error


def _check_sent(wanted: Request) -> None:
    """Reject what ``Processor`` leaves out of the request that it sends, without a message."""
    inputs = wanted.get("ProcessingInputs", [])
    outputs = wanted.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for field in ("DatasetDefinition", "FeatureStoreOutput"):
        if any(field in item for item in (*inputs, *outputs)):
            raise LaunchError(
                f"the Processor of the SageMaker SDK does not send {field}, which is in "
                f"{config.FILE}: launch the job with {project.COMMAND} instead"
            )


def _processor(wanted: Request) -> Any:
    """Return a ``Processor`` with what a request says about the cluster and the container."""
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.processing import Processor

    application = wanted["AppSpecification"]
    cluster = wanted["ProcessingResources"]["ClusterConfig"]
    return Processor(
        role=wanted["RoleArn"],
        image_uri=application["ImageUri"],
        entrypoint=application["ContainerEntrypoint"],
        instance_type=cluster.get("InstanceType"),
        instance_count=cluster.get("InstanceCount"),
        instance_preferences=cluster.get("InstancePreferences"),
        volume_size_in_gb=cluster["VolumeSizeInGB"],
        volume_kms_key=cluster.get("VolumeKmsKeyId"),
        output_kms_key=wanted.get("ProcessingOutputConfig", {}).get("KmsKeyId"),
        max_runtime_in_seconds=wanted.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        env=wanted.get("Environment"),
        tags=wanted.get("Tags"),
        network_config=_network(wanted),
        sagemaker_session=Session(
            boto_session=clients.session(),
            sagemaker_client=clients.client("sagemaker"),
            default_bucket=project.require("S3_BUCKET"),
            sagemaker_config=_CONFIG,
        ),
    )


def _network(wanted: Request) -> Any:
    from sagemaker.core.network import NetworkConfig

    if "NetworkConfig" not in wanted:
        return None
    network = wanted["NetworkConfig"]
    vpc = network.get("VpcConfig", {})
    return NetworkConfig(
        enable_network_isolation=network.get("EnableNetworkIsolation"),
        encrypt_inter_container_traffic=network.get("EnableInterContainerTrafficEncryption"),
        security_group_ids=vpc.get("SecurityGroupIds"),
        subnets=vpc.get("Subnets"),
    )


def _run_arguments(wanted: Request) -> dict[str, Any]:
    """Return what a request says about the job itself, as arguments of ``Processor.run()``."""
    from sagemaker.core import shapes

    inputs = [
        shapes.ProcessingInput(
            input_name=item["InputName"],
            s3_input=shapes.ProcessingS3Input(**_snake_case(item["S3Input"])),
            **_app_managed(item),
        )
        for item in wanted.get("ProcessingInputs", [])
    ]
    outputs = [
        shapes.ProcessingOutput(
            output_name=item["OutputName"],
            s3_output=shapes.ProcessingS3Output(**_snake_case(item["S3Output"])),
            **_app_managed(item),
        )
        for item in wanted.get("ProcessingOutputConfig", {}).get("Outputs", [])
    ]
    return {
        "job_name": wanted["ProcessingJobName"],
        "inputs": inputs,
        "outputs": outputs,
        "arguments": wanted["AppSpecification"].get("ContainerArguments"),
        "experiment_config": wanted.get("ExperimentConfig"),
    }


def _app_managed(item: Mapping[str, Any]) -> dict[str, bool]:
    return {"app_managed": item["AppManaged"]} if "AppManaged" in item else {}


def _snake_case(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Spell the API's names as the SDK does: ``S3DataType`` is ``s3_data_type``."""
    return {re.sub("(?<!^)(?=[A-Z])", "_", name).lower(): value for name, value in fields.items()}

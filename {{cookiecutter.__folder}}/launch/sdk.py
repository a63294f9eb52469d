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
"""Launch options without effect here; ``run()`` has its own."""

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
    job_request = request.prepare(launch)
    _check_sent(job_request)
    key = config.output_key(job_name)
    for snapshot in launch.uploads:
        s3.upload(snapshot, key)
    claims = launch.chosen_outputs.values()
    advice = STAY_CLAIMED if claims else ""
    with claimed(claims, {"job": launch.name}, advice, key):
        return _processor(job_request), _run_arguments(job_request)


def _check_installed() -> None:
    try:
        import sagemaker.core.processing  # noqa: F401
    except ImportError as error:
        advice = "`make install GROUPS='dev launch sagemaker'` installs it"
        raise SetupError(f"the SageMaker SDK is not installed: {advice}") from error


def _check_sent(job_request: Request) -> None:
    """Reject fields that ``Processor`` silently omits from the request that it sends."""
    inputs = job_request.get("ProcessingInputs", [])
    outputs = job_request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for field in ("DatasetDefinition", "FeatureStoreOutput"):
        if any(field in item for item in (*inputs, *outputs)):
            raise LaunchError(
                f"the Processor of the SageMaker SDK does not send {field}, which is in "
                f"{config.FILE}: launch the job with {project.COMMAND} instead"
            )


def _processor(job_request: Request) -> Any:
    """Return a ``Processor`` with the cluster and container settings of a request."""
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.processing import Processor

    application = job_request["AppSpecification"]
    cluster = job_request["ProcessingResources"]["ClusterConfig"]
    return Processor(
        role=job_request["RoleArn"],
        image_uri=application["ImageUri"],
        entrypoint=application["ContainerEntrypoint"],
        instance_type=cluster.get("InstanceType"),
        instance_count=cluster.get("InstanceCount"),
        instance_preferences=cluster.get("InstancePreferences"),
        volume_size_in_gb=cluster["VolumeSizeInGB"],
        volume_kms_key=cluster.get("VolumeKmsKeyId"),
        output_kms_key=job_request.get("ProcessingOutputConfig", {}).get("KmsKeyId"),
        max_runtime_in_seconds=job_request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        env=job_request.get("Environment"),
        tags=job_request.get("Tags"),
        network_config=_network(job_request),
        sagemaker_session=Session(
            boto_session=clients.session(),
            sagemaker_client=clients.client("sagemaker"),
            default_bucket=project.require("S3_BUCKET"),
            sagemaker_config=_CONFIG,
        ),
    )


def _network(job_request: Request) -> Any:
    from sagemaker.core.network import NetworkConfig

    if "NetworkConfig" not in job_request:
        return None
    network = job_request["NetworkConfig"]
    vpc = network.get("VpcConfig", {})
    return NetworkConfig(
        enable_network_isolation=network.get("EnableNetworkIsolation"),
        encrypt_inter_container_traffic=network.get("EnableInterContainerTrafficEncryption"),
        security_group_ids=vpc.get("SecurityGroupIds"),
        subnets=vpc.get("Subnets"),
    )


def _run_arguments(job_request: Request) -> dict[str, Any]:
    """Return the arguments of ``Processor.run()``: the settings of the job itself."""
    from sagemaker.core import shapes

    inputs = [
        shapes.ProcessingInput(
            input_name=item["InputName"],
            s3_input=shapes.ProcessingS3Input(**_snake_case(item["S3Input"])),
            **_app_managed(item),
        )
        for item in job_request.get("ProcessingInputs", [])
    ]
    outputs = [
        shapes.ProcessingOutput(
            output_name=item["OutputName"],
            s3_output=shapes.ProcessingS3Output(**_snake_case(item["S3Output"])),
            **_app_managed(item),
        )
        for item in job_request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    ]
    return {
        "job_name": job_request["ProcessingJobName"],
        "inputs": inputs,
        "outputs": outputs,
        "arguments": job_request["AppSpecification"].get("ContainerArguments"),
        "experiment_config": job_request.get("ExperimentConfig"),
    }


def _app_managed(item: Mapping[str, Any]) -> dict[str, bool]:
    return {"app_managed": item["AppManaged"]} if "AppManaged" in item else {}


def _snake_case(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the API's names to those of the SDK: ``S3DataType`` is ``s3_data_type``."""
    return {re.sub("(?<!^)(?=[A-Z])", "_", name).lower(): value for name, value in fields.items()}

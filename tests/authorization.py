"""The actions, resources and condition keys that IAM evaluates for a call of AWS.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
An operation that is not in the table below is an error, so that no call is forgotten.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies import Request
from recorder import Call

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"

PREFIXES = {"service-quotas": "servicequotas", "resourcegroupstaggingapi": "tag"}
"""How actions begin where it is not the name of the service."""

Tags = Mapping[str, str]


class UnknownOperationError(Exception):
    """An operation whose permissions are not known here."""


@dataclass
class Authorization:
    """What IAM is asked about the calls in one account, in the order in which they are made.

    It remembers what later calls depend on: tags of resources, and keys of objects.
    """

    account: str
    partition: str = "aws"
    _tags: dict[str, Tags] = field(default_factory=dict)
    """Of resources, by ARN."""
    _keys: dict[str, str] = field(default_factory=dict)
    """The KMS keys of encrypted objects and of uploads in parts, by ARN of the object."""

    def requests(self, call: Call) -> list[Request]:
        """Return what must be allowed so that a call succeeds.

        Raises:
            UnknownOperationError: The operation is not in the table.
        """
        try:
            find = OPERATIONS[call.service, call.operation]
        except KeyError as error:
            message = f"{call.service}:{call.operation}: add its permissions to {__name__}.py"
            raise UnknownOperationError(message) from error
        return list(find(self, call))

    def arn(self, service: str, region: str, resource: str, account: str = "") -> str:
        """Return the ARN of a resource of this account, or of another one."""
        return f"arn:{self.partition}:{service}:{region}:{account or self.account}:{resource}"

    def key_arn(self, region: str, key: str) -> str:
        """Return the ARN of a KMS key that is named by its ARN or its id."""
        if key.startswith("arn:"):
            return key
        if key.startswith("alias/"):
            raise UnknownOperationError(f"{key}: policies need the key itself, not an alias")
        return self.arn("kms", region, f"key/{key}")

    def key_request(self, action: str, region: str, key: str, via: str, **context: str) -> Request:
        """Return the use of a KMS key through another service."""
        keys = {
            "kms:ViaService": f"{via}.{region}.amazonaws.com",
            "kms:CallerAccount": self.account,
        }
        return Request(f"kms:{action}", self.key_arn(region, key), {**keys, **context})

    # S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html

    def list_bucket(self, call: Call) -> Iterator[Request]:
        context = {}
        if "Prefix" in call.parameters:
            context["s3:prefix"] = call.parameters["Prefix"]
        if "MaxKeys" in call.parameters:
            context["s3:max-keys"] = str(call.parameters["MaxKeys"])
        yield Request("s3:ListBucket", self._bucket(call), context)

    def get_bucket_policy(self, call: Call) -> Iterator[Request]:
        yield Request("s3:GetBucketPolicy", self._bucket(call))

    def get_object(self, call: Call) -> Iterator[Request]:
        name = self._object(call)
        yield Request("s3:GetObject", name)
        # The checksum of an encrypted object needs its key, too.
        if name in self._keys and (
            call.operation == "GetObject" or "ChecksumMode" in call.parameters
        ):
            yield self._object_key("Decrypt", call, self._keys[name])

    def put_object(self, call: Call) -> Iterator[Request]:
        """An upload at once, or the beginning of one in parts."""
        name, context = self._object(call), {}
        if "ServerSideEncryption" in call.parameters:
            context["s3:x-amz-server-side-encryption"] = call.parameters["ServerSideEncryption"]
        key = call.parameters.get("SSEKMSKeyId")
        if key:
            context["s3:x-amz-server-side-encryption-aws-kms-key-id"] = key
            self._keys[name] = key
        yield Request("s3:PutObject", name, context)
        if key:
            yield self._object_key("GenerateDataKey", call, key)

    def put_part(self, call: Call) -> Iterator[Request]:
        """A part, or the end of an upload in parts, for which S3 reads the encrypted parts.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
        """
        name = self._object(call)
        yield Request("s3:PutObject", name)
        if name in self._keys:
            yield self._object_key("GenerateDataKey", call, self._keys[name])
            yield self._object_key("Decrypt", call, self._keys[name])

    def abort_upload(self, call: Call) -> Iterator[Request]:
        yield Request("s3:AbortMultipartUpload", self._object(call))

    def _bucket(self, call: Call) -> str:
        return f"arn:{self.partition}:s3:::{call.parameters['Bucket']}"

    def _object(self, call: Call) -> str:
        return f"{self._bucket(call)}/{call.parameters['Key']}"

    def _object_key(self, action: str, call: Call, key: str) -> Request:
        context = {"kms:EncryptionContext:aws:s3:arn": self._object(call)}
        return self.key_request(action, call.region, key, "s3", **context)

    # SageMaker: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html

    def create_job(self, call: Call) -> Iterator[Request]:
        given = call.parameters
        job = self.arn("sagemaker", call.region, _job(given))
        yield from self._create(call, job, _job_context(given))

    def create_pipeline(self, call: Call) -> Iterator[Request]:
        yield from self._create(call, self._pipeline(call), {})

    def update_pipeline(self, call: Call) -> Iterator[Request]:
        yield from self.on_pipeline(call)
        yield from self._pass_role(call)

    def on_job(self, call: Call) -> Iterator[Request]:
        job = self.arn("sagemaker", call.region, _job(call.parameters))
        yield self._on_tagged(call, job)

    def on_pipeline(self, call: Call) -> Iterator[Request]:
        yield self._on_tagged(call, self._pipeline(call))

    def on_resource(self, call: Call) -> Iterator[Request]:
        yield self._on_tagged(call, call.parameters["ResourceArn"])

    def on_execution(self, call: Call) -> Iterator[Request]:
        """An execution is below its pipeline: pipeline/<name>/execution/<id>."""
        yield self._on_tagged(call, call.parameters["PipelineExecutionArn"])

    def _pipeline(self, call: Call) -> str:
        name = call.parameters["PipelineName"]
        return name if ":" in name else self.arn("sagemaker", call.region, f"pipeline/{name}")

    def _create(self, call: Call, resource: str, context: Mapping[str, Any]) -> Iterator[Request]:
        tags = {tag["Key"]: tag["Value"] for tag in call.parameters.get("Tags", [])}
        self._tags[resource] = tags
        requested: dict[str, Any] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        if tags:
            requested["aws:TagKeys"] = tuple(tags)
        yield Request(f"sagemaker:{call.operation}", resource, {**context, **requested})
        if tags:
            yield Request("sagemaker:AddTags", resource, requested)
        yield from self._pass_role(call)

    def _pass_role(self, call: Call) -> Iterator[Request]:
        """https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""
        context = {"iam:PassedToService": "sagemaker.amazonaws.com"}
        yield Request("iam:PassRole", call.parameters["RoleArn"], context)

    def _on_tagged(self, call: Call, resource: str) -> Request:
        tags = self._tags.get(resource, {})
        context = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
        return Request(f"sagemaker:{call.operation}", resource, context)

    # Others

    def on_repository(self, call: Call) -> Iterator[Request]:
        names = call.parameters.get("repositoryNames") or [call.parameters["repositoryName"]]
        for name in names:
            owner = call.parameters.get("registryId", "")
            resource = self.arn("ecr", call.region, f"repository/{name}", owner)
            yield Request(f"ecr:{call.operation}", resource)

    def on_log_group(self, call: Call) -> Iterator[Request]:
        """A log group is named with a colon behind it, as the group and all of its streams.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
        """
        resource = f"log-group:{call.parameters['logGroupName']}:log-stream:"
        yield Request(f"logs:{call.operation}", self.arn("logs", call.region, resource))

    def on_log_stream(self, call: Call) -> Iterator[Request]:
        group, stream = (call.parameters[key] for key in ("logGroupName", "logStreamName"))
        resource = f"log-group:{group}:log-stream:{stream}"
        yield Request(f"logs:{call.operation}", self.arn("logs", call.region, resource))

    def get_role(self, call: Call) -> Iterator[Request]:
        yield Request("iam:GetRole", self.arn("iam", "", f"role/{call.parameters['RoleName']}"))

    def simulate(self, call: Call) -> Iterator[Request]:
        yield Request("iam:SimulatePrincipalPolicy", call.parameters["PolicySourceArn"])

    def anywhere(self, call: Call) -> Iterator[Request]:
        """An action that has no resources."""
        prefix = PREFIXES.get(call.service, call.service)
        yield Request(f"{prefix}:{call.operation}", "*")

    def nothing(self, _: Call) -> Iterator[Request]:
        """An operation that needs no permission."""
        yield from ()


def _job(given: Mapping[str, Any]) -> str:
    """Return the last part of a job's ARN, which is in lower case whatever its name is."""
    return f"processing-job/{given['ProcessingJobName'].lower()}"


def _job_context(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return SageMaker's condition keys for the request of a job."""
    cluster = given.get("ProcessingResources", {}).get("ClusterConfig", {})
    network = given.get("NetworkConfig", {})
    vpc = network.get("VpcConfig", {})
    instances = cluster.get("InstancePreferences", [cluster])
    types = [each["InstanceType"] for each in instances if "InstanceType" in each]
    values = {
        "sagemaker:InstanceTypes": tuple(types),
        "sagemaker:VpcSubnets": tuple(vpc.get("Subnets", ())),
        "sagemaker:VpcSecurityGroupIds": tuple(vpc.get("SecurityGroupIds", ())),
        "sagemaker:VolumeKmsKey": cluster.get("VolumeKmsKeyId"),
        "sagemaker:OutputKmsKey": given.get("ProcessingOutputConfig", {}).get("KmsKeyId"),
        "sagemaker:NetworkIsolation": _flag(network.get("EnableNetworkIsolation")),
        "sagemaker:InterContainerTrafficEncryption": _flag(
            network.get("EnableInterContainerTrafficEncryption")
        ),
    }
    return {name: value for name, value in values.items() if value}


def _flag(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


_Find = Callable[[Authorization, Call], Iterator[Request]]
OPERATIONS: Mapping[tuple[str, str], _Find] = {
    ("s3", "ListObjectsV2"): Authorization.list_bucket,
    ("s3", "HeadBucket"): Authorization.list_bucket,
    ("s3", "GetBucketPolicy"): Authorization.get_bucket_policy,
    ("s3", "GetObject"): Authorization.get_object,
    ("s3", "HeadObject"): Authorization.get_object,
    ("s3", "PutObject"): Authorization.put_object,
    ("s3", "CreateMultipartUpload"): Authorization.put_object,
    ("s3", "UploadPart"): Authorization.put_part,
    ("s3", "CompleteMultipartUpload"): Authorization.put_part,
    ("s3", "AbortMultipartUpload"): Authorization.abort_upload,
    ("sagemaker", "CreateProcessingJob"): Authorization.create_job,
    ("sagemaker", "DescribeProcessingJob"): Authorization.on_job,
    ("sagemaker", "StopProcessingJob"): Authorization.on_job,
    ("sagemaker", "ListProcessingJobs"): Authorization.anywhere,
    ("sagemaker", "CreatePipeline"): Authorization.create_pipeline,
    ("sagemaker", "UpdatePipeline"): Authorization.update_pipeline,
    ("sagemaker", "DescribePipeline"): Authorization.on_pipeline,
    ("sagemaker", "ListTags"): Authorization.on_resource,
    ("sagemaker", "StartPipelineExecution"): Authorization.on_pipeline,
    ("sagemaker", "ListPipelineExecutions"): Authorization.on_pipeline,
    ("sagemaker", "DescribePipelineExecution"): Authorization.on_execution,
    ("sagemaker", "ListPipelineExecutionSteps"): Authorization.on_execution,
    ("sagemaker", "StopPipelineExecution"): Authorization.on_execution,
    ("sagemaker", "DescribePipelineDefinitionForExecution"): Authorization.on_execution,
    ("sagemaker", "ListPipelineParametersForExecution"): Authorization.on_execution,
    ("ecr", "BatchCheckLayerAvailability"): Authorization.on_repository,
    ("ecr", "BatchGetImage"): Authorization.on_repository,
    ("ecr", "CompleteLayerUpload"): Authorization.on_repository,
    ("ecr", "DescribeImages"): Authorization.on_repository,
    ("ecr", "DescribeRepositories"): Authorization.on_repository,
    ("ecr", "GetAuthorizationToken"): Authorization.anywhere,
    ("ecr", "GetDownloadUrlForLayer"): Authorization.on_repository,
    ("ecr", "InitiateLayerUpload"): Authorization.on_repository,
    ("ecr", "PutImage"): Authorization.on_repository,
    ("ecr", "UploadLayerPart"): Authorization.on_repository,
    ("logs", "CreateLogGroup"): Authorization.on_log_group,
    ("logs", "DescribeLogStreams"): Authorization.on_log_group,
    ("logs", "FilterLogEvents"): Authorization.on_log_group,
    ("logs", "CreateLogStream"): Authorization.on_log_stream,
    ("logs", "PutLogEvents"): Authorization.on_log_stream,
    ("iam", "GetRole"): Authorization.get_role,
    ("iam", "SimulatePrincipalPolicy"): Authorization.simulate,
    ("pricing", "GetProducts"): Authorization.anywhere,
    ("resourcegroupstaggingapi", "GetResources"): Authorization.anywhere,
    ("service-quotas", "ListServiceQuotas"): Authorization.anywhere,
    ("sts", "GetCallerIdentity"): Authorization.nothing,
}

# What has no recorder, because Docker or SageMaker calls it.


def pushing(authorization: Authorization, region: str, repository: str) -> list[Request]:
    """Return what ``docker push`` needs beside the password.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
    """
    operations = (
        *("BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart"),
        *("CompleteLayerUpload", "PutImage", "BatchGetImage"),
    )
    parameters = {"repositoryName": repository}
    calls = [Call("", region, "ecr", name, parameters) for name in operations]
    return [request for call in calls for request in authorization.requests(call)]


def starting(authorization: Authorization, region: str, pipeline: str) -> list[Request]:
    """Return what a schedule needs to start a pipeline.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html
    """
    call = Call("", region, "sagemaker", "StartPipelineExecution", {"PipelineName": pipeline})
    return authorization.requests(call)


def running(authorization: Authorization, region: str, job: Mapping[str, Any]) -> list[Request]:
    """Return what the execution role of a job needs beside S3, the log and the pipeline's calls.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createprocessingjob-perms

    Args:
        authorization: Of the account.
        region: Of the job.
        job: The request of CreateProcessingJob.
    """
    namespace = {"cloudwatch:namespace": LOG_GROUP}
    found = [*_pulling(authorization, job), Request("cloudwatch:PutMetricData", "*", namespace)]
    if vpc := job.get("NetworkConfig", {}).get("VpcConfig"):
        found += _networking(authorization, region, vpc)
    cluster = job["ProcessingResources"]["ClusterConfig"]
    if key := cluster.get("VolumeKmsKeyId"):
        found += _encrypting_volumes(authorization, region, key)
    if key := job.get("ProcessingOutputConfig", {}).get("KmsKeyId"):
        found.append(authorization.key_request("Encrypt", region, key, "s3"))
    return found


def _pulling(authorization: Authorization, job: Mapping[str, Any]) -> Iterator[Request]:
    """The image comes from the registry, account and region that its address names."""
    host, _, path = job["AppSpecification"]["ImageUri"].partition("/")
    owner, _, _, region, *_ = host.split(".")
    repository = path.partition("@")[0]
    for name in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
        resource = authorization.arn("ecr", region, f"repository/{repository}", owner)
        yield Request(f"ecr:{name}", resource)
    yield Request("ecr:GetAuthorizationToken", "*")


def _networking(
    authorization: Authorization, region: str, vpc: Mapping[str, Sequence[str]]
) -> Iterator[Request]:
    """SageMaker makes a network interface for each instance, attaches it and removes it.

    https://docs.aws.amazon.com/sagemaker/latest/dg/process-vpc.html
    """
    names = ("Subnets", "SecurityGroups", "Vpcs", "NetworkInterfaces", "DhcpOptions")
    yield from (Request(f"ec2:Describe{name}", "*") for name in names)

    def arn(resource: str) -> str:
        return authorization.arn("ec2", region, resource)

    subnets = [arn(f"subnet/{each}") for each in vpc["Subnets"]]
    places = (
        ("Subnets", "subnet", "ec2:SubnetID"),
        ("SecurityGroupIds", "security-group", "ec2:SecurityGroupID"),
    )
    for field_name, kind, key in places:
        for name in vpc[field_name]:
            yield Request("ec2:CreateNetworkInterface", arn(f"{kind}/{name}"), {key: name})
    interface = arn("network-interface/eni-0123456789abcdef0")
    actions = ("CreateNetworkInterface", "DeleteNetworkInterface")
    for action in (*actions, *(f"{each}Permission" for each in actions)):
        for subnet in subnets:
            context = {"ec2:Subnet": subnet, "ec2:Region": region}
            yield Request(f"ec2:{action}", interface, context)


def _encrypting_volumes(authorization: Authorization, region: str, key: str) -> Iterator[Request]:
    """EC2 is granted the use of the key, so that it can attach the volumes."""
    context = {"kms:GrantIsForAWSResource": "true"}
    yield authorization.key_request("CreateGrant", region, key, "sagemaker", **context)

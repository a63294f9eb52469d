"""``infra/parameters.py`` reads the parameters of the stack from ``launch.toml``."""

import importlib.util
import sys
import tomllib
from types import ModuleType

import pytest
import resolved
from conftest import SLUG, TEMPLATE
from registry import ACCOUNT

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key"
FACTS = {"Project": SLUG, "RepositoryName": "team/model", "BucketName": "default-name"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = TEMPLATE / "infra" / "parameters.py"
    spec = importlib.util.spec_from_file_location("parameters", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    with pytest.MonkeyPatch.context() as patch:
        # Every later project would be given its cache.
        patch.setattr(sys, "dont_write_bytecode", True)
        spec.loader.exec_module(module)
    return module


def values(script: ModuleType, text: str) -> dict[str, str]:
    target = script.Target("aws", "eu-west-1", ACCOUNT)
    content, template = tomllib.loads(text), resolved.STACK.read_text()
    found: dict[str, str] = script.parameters(content, template, FACTS, target)
    return found


def test_the_parameters_are_read_as_yaml_has_them(script: ModuleType) -> None:
    def text(value: object) -> str:
        return "" if value is None else str(value)

    wanted = resolved.template()["Parameters"]
    found = script.declared(resolved.STACK.read_text())
    assert list(found) == list(wanted)
    for name, parameter in wanted.items():
        for attribute in ("Type", "Default", "MinValue", "AllowedPattern", "Description"):
            assert found[name].get(attribute) == (
                text(parameter[attribute]) if attribute in parameter else None
            ), (name, attribute)
        assert ("AllowedValues" in found[name]) == ("AllowedValues" in parameter)


def test_every_parameter_has_a_value(script: ModuleType) -> None:
    found = values(script, "")
    declared = resolved.template()["Parameters"]
    assert set(found) == set(declared)
    defaults = {name: str(each["Default"]) for name, each in declared.items() if "Default" in each}
    assert found == defaults | FACTS


def test_every_parameter_can_be_set_in_one_way(script: ModuleType) -> None:
    """In ``[stack]``, or somewhere that the error names."""
    declared = set(resolved.template()["Parameters"])
    assert set(script.SET_ELSEWHERE) < declared
    for name in script.SET_ELSEWHERE:
        with pytest.raises(script.ParameterError, match=rf"cannot set {name}: .+ determines it"):
            values(script, f"[stack]\n{name} = 'x'")


def test_the_table_stack_sets_parameters_by_their_names(script: ModuleType) -> None:
    found = values(
        script,
        f"""
        [stack]
        RunDays = 90
        BucketName = "another-name"
        BucketVersioning = true
        PermissionsBoundary = "arn:aws:iam::{ACCOUNT}:policy/boundary"
        RolePath = "/models/"
        Schedule = "cron(0 6 ? * MON *)"
        FailureEmail = "team@company.example"
        ReadKeys = ["{KEY}"]
        """,
    )
    assert found == values(script, "") | {
        "RunDays": "90",
        "BucketName": "another-name",
        "BucketVersioning": "true",
        "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
        "RolePath": "/models/",
        "Schedule": "cron(0 6 ? * MON *)",
        "FailureEmail": "team@company.example",
        "ReadKeys": f"{ARN}/{KEY}",
    }


def test_requests_name_networks_and_keys(script: ModuleType) -> None:
    """Those of all jobs and those of single jobs, each once."""
    other = f"arn:aws:kms:eu-west-1:210987654321:key/mrk-{'0' * 32}"
    found = values(
        script,
        f"""
        [request.NetworkConfig.VpcConfig]
        Subnets = ["subnet-0a", "subnet-0b"]
        SecurityGroupIds = ["sg-0a"]
        [request.ProcessingOutputConfig]
        KmsKeyId = "{KEY}"
        [job.any.ProcessingOutputConfig]
        KmsKeyId = "{other}"
        [job.any.ProcessingResources.ClusterConfig]
        VolumeKmsKeyId = "{KEY}"
        [job.other.NetworkConfig.VpcConfig]
        Subnets = ["subnet-0b", "subnet-0c"]
        """,
    )
    subnets = [f"arn:aws:ec2:eu-west-1:*:subnet/subnet-0{each}" for each in "abc"]
    assert found["Subnets"].split(",") == subnets
    assert found["SecurityGroups"] == "arn:aws:ec2:eu-west-1:*:security-group/sg-0a"
    assert found["OutputKeys"].split(",") == [f"{ARN}/{KEY}", other]
    assert found["VolumeKeys"] == f"{ARN}/{KEY}"


@pytest.mark.parametrize(
    ("path", "objects", "bucket", "prefixes"),
    [
        ("company-lake", "company-lake/*", "company-lake", "*"),
        ("company-lake/sales/", "company-lake/sales/*", "company-lake", "sales/*,sales"),
        ("s3://company-lake/a/b.csv", "company-lake/a/b.csv*", "company-lake", "a/b.csv*"),
    ],
)
def test_paths_to_read_become_what_policies_take(
    script: ModuleType, path: str, objects: str, bucket: str, prefixes: str
) -> None:
    found = values(script, f"[stack]\nReadPaths = ['{path}']")
    assert found["ReadPaths"] == f"arn:aws:s3:::{objects}"
    assert found["ReadBuckets"] == f"arn:aws:s3:::{bucket}"
    assert found["ReadPrefixes"] == prefixes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[stack]\nRunDay = 90", "no parameter RunDay; did you mean RunDays?"),
        ("[stack]\nxyz = 90", "no parameter xyz; there are .*RunDays"),
        ("[stack]\nRunDays = '90'", "RunDays must be a whole number"),
        ("[stack]\nRunDays = true", "RunDays must be a whole number"),
        ("[stack]\nRunDays = 7", "RunDays must be at least 31"),
        ("[stack]\nBucketVersioning = 'true'", "BucketVersioning must be true or false"),
        ("[stack]\nRolePath = 'models'", "RolePath does not accept 'models'. .*/machine-learning/"),
        ("[stack]\nSchedule = '0 6 * * *'", r"Schedule does not accept .* cron\("),
        ('[stack]\nGitHubBranch = "a\\nb"', "GitHubBranch must be a text"),
        ("[stack]\nReadPaths = 'lake'", "ReadPaths must be a list"),
        ("[stack]\nReadPaths = ['lake/a,b']", "ReadPaths must be a list of texts without commas"),
        ("[stack]\nReadPaths = ['lake/*']", "ReadPaths: 'lake/.*' must be .* without wildcards"),
        ("[stack]\nReadPaths = ['Lake']", "ReadPaths: 'Lake' must be a bucket"),
        ("[stack]\nReadKeys = ['alias/lake']", "describe-key --key-id alias/lake"),
        ("stack = 1", "stack must be a table"),
        ("[job]\nany = 1", r"job.any must be a table: \[job.any\]"),
        ("[request]\nNetworkConfig = 1", "request.NetworkConfig must be a table"),
        (
            "[job.any.ProcessingOutputConfig]\nKmsKeyId = 7",
            "job.any.ProcessingOutputConfig.KmsKeyId",
        ),
    ],
)
def test_mistakes_are_rejected(script: ModuleType, text: str, message: str) -> None:
    with pytest.raises(script.ParameterError, match=message):
        values(script, text)

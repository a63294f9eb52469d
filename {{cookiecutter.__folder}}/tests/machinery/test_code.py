"""``--code``: the code as it is now, in an image that exists already."""

import gc
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aws_faults import Faults, stored
from committed import commit, git
from launch import LaunchError, plan
from launch.__main__ import main
from launch.aws import clients
from launch.backends import execution
from launch.history.command_lines import of_request
from launch.pipelines import definition, pipeline
from launch.requests import images, jobs
from launch.requests import request as requests
from launch.requests.options import Launch, parse
from launch.storage import code, folders

IMAGE = "registry/image@sha256:1"
ON_SAGEMAKER = ("--backend", "sagemaker", "--image", IMAGE, "--code")


@pytest.fixture(autouse=True)
def root(committed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECR_REPOSITORY", "team/model")
    return committed


def make_data(root: Path, *words: str) -> Launch:
    return parse(jobs.read("make_data"), ["--input_path", str(root / "raw"), *words])


def planned(root: Path, *words: str) -> dict[str, Any]:
    """Return the request of a launch that asks AWS nothing."""
    launch = make_data(root, *words)
    return requests.build(launch, "image")


def inputs(request: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["InputName"]: item["S3Input"] for item in request["ProcessingInputs"]}


def tags(request: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request["Tags"]}


def push(environment: str) -> str:
    """Push an image with an environment, and return its digest."""
    ecr = clients.client("ecr")
    ecr.create_repository(repositoryName="team/model")
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": {"digest": "sha256:1"}}
    pushed = ecr.put_image(
        repositoryName="team/model",
        imageManifest=json.dumps(manifest),
        imageTag=f"environment-{environment}",
    )
    return str(pushed["image"]["imageId"]["imageDigest"])


def edit(root: Path) -> None:
    file = root / "entrypoints" / "make_data.py"
    file.write_text(file.read_text() + "# edited\n")


class TestRead:
    def test_the_code_is_what_an_image_of_the_files_would_hold(self, root: Path) -> None:
        (root / "src" / "new.py").write_text("new = 1\n")
        (root / ".gitignore").write_text("out/\nscratch.py\n")
        (root / "src" / "scratch.py").write_text("")
        (root / "src" / ".hidden").write_text("")
        edit(root)
        before = git(root, "status", "--porcelain")
        read = code.read()
        names = read.snapshot.sha256
        assert {"src/new.py", "entrypoints/make_data.py", "entrypoints/fit.py"} < names.keys()
        assert {name.partition("/")[0] for name in names} == {"entrypoints", "src"}
        assert not {"src/scratch.py", "src/.hidden"} & names.keys()
        edited = (root / "entrypoints" / "make_data.py").read_bytes()
        assert names["entrypoints/make_data.py"] == hashlib.sha256(edited).hexdigest()
        assert git(root, "status", "--porcelain") == before

    def test_the_stamp_says_whether_the_code_is_committed(self, root: Path) -> None:
        head = git(root, "rev-parse", "HEAD")
        clean = code.read()
        assert clean.stamp == head
        edit(root)
        first = code.read()
        assert first.stamp.startswith(f"{head}-")
        assert first.stamp.endswith("-dirty")
        edit(root)
        second = code.read()
        assert second.stamp not in (first.stamp, head)
        assert len({each.snapshot.digest for each in (clean, first, second)}) == 3

    def test_the_environment_is_all_but_the_code(self, root: Path) -> None:
        before = code.read()
        edit(root)
        (root / "README.md").write_text("of no image")
        assert code.read().environment == before.environment
        (root / "poetry.lock").write_text("other versions")
        changed = code.read()
        assert changed.environment != before.environment
        assert changed.image_tag == f"environment-{changed.environment}"

    def test_the_copy_lasts_as_long_as_the_code(self, root: Path) -> None:
        read = code.read()
        assert all(file.path.exists() for file in read.snapshot.files)
        assert not folders.abandoned(root / "out")
        folder = read.snapshot.folder
        del read
        gc.collect()
        assert not folder.exists()
        assert not list((root / "out").glob(".launch-*"))

    @pytest.mark.usefixtures("root")
    def test_without_a_commit_it_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "repository" / ".git").rename(tmp_path / "gone")
        with pytest.raises(LaunchError, match=r"--code: .*git commit"):
            code.read()


class TestRequest:
    def test_a_job_runs_the_code_instead_of_that_in_its_image(self, root: Path) -> None:
        edit(root)
        read = code.read()
        request = planned(root, "--backend", "docker", "--code", "--env", "COLOUR=blue")
        source = inputs(request)["code"]
        folder = source["LocalPath"]
        entrypoint = ["python", "-u", f"{folder}/entrypoints/make_data.py"]
        assert request["AppSpecification"]["ContainerEntrypoint"] == entrypoint
        assert request["Environment"] == {
            "COLOUR": "blue",
            "PYTHONPATH": f"{folder}/src",
            "SOURCE_COMMIT": read.stamp,
        }
        assert source["S3Uri"].endswith(f"/small/inputs/{read.snapshot.digest}/")
        assert source["S3DataDistributionType"] == "FullyReplicated"
        assert (tags(request)["commit"], tags(request)["code"]) == (
            read.stamp,
            read.snapshot.digest,
        )

    def test_own_paths_of_python_come_after_the_code(self, root: Path) -> None:
        request = planned(root, "--backend=docker", "--code", "--env", "PYTHONPATH=/opt/more")
        assert request["Environment"]["PYTHONPATH"] == "/opt/ml/processing/code/src:/opt/more"
        assert code.own_environment(request) == {"PYTHONPATH": "/opt/more"}

    def test_a_local_job_runs_the_code_anyway(self, root: Path) -> None:
        request = planned(root, "--code")
        assert "code" not in inputs(request)
        assert request["AppSpecification"] == planned(root)["AppSpecification"]

    def test_the_image_in_docker_is_that_of_the_environment(self, root: Path) -> None:
        environment = code.read().environment
        made = plan("make_data", input_path=root / "raw", backend="docker", code=True)
        image = made["AppSpecification"]["ImageUri"]
        assert image == f"team/model:environment-{environment}"

    def test_another_input_of_its_name_is_rejected(self, root: Path) -> None:
        file = root / "entrypoints" / "make_data.py"
        file.write_text(file.read_text().replace("INPUT}/raw", "INPUT}/code"))
        with pytest.raises(LaunchError, match=r"--code: .*'code'.*entrypoints/make_data\.py"):
            planned(root, "--backend=docker", "--code")
        assert "code" in inputs(planned(root, "--backend=docker"))

    def test_an_input_of_its_name_in_launch_toml_is_rejected(self, root: Path) -> None:
        with (root / "launch.toml").open("a") as table:
            table.write(
                '[[request.ProcessingInputs]]\nInputName = "code"\nS3Input.S3Uri = "s3://b/k"\n'
                'S3Input.LocalPath = "/opt/ml/processing/own"\n'
            )
        with pytest.raises(LaunchError, match=r"--code: .*'code'.*launch\.toml"):
            planned(root, "--backend=docker", "--code")

    def test_an_entrypoint_that_git_ignores_is_rejected(self, root: Path) -> None:
        (root / ".gitignore").write_text("scratch.py\n")
        (root / "entrypoints" / "fit.py").rename(root / "entrypoints" / "scratch.py")
        launch = parse(jobs.read("scratch"), ["--data_path=x", "--backend=docker", "--code"])
        with pytest.raises(LaunchError, match=r"git ignores entrypoints/scratch\.py"):
            requests.build(launch, "image")


class TestAws:
    def test_the_image_is_found_by_its_environment_with_one_call(self, account: Faults) -> None:
        read = code.read()
        digest = push(read.environment)
        account.clear()
        assert images.in_ecr("unknown", read).endswith(f"/team/model@{digest}")
        assert account.calls == {"DescribeImages": 1}

    def test_a_changed_environment_is_rejected_before_anything_is_uploaded(
        self, root: Path, account: Faults
    ) -> None:
        push(code.read().environment)
        words = ["--backend", "sagemaker", "--code"]
        edit(root)
        assert requests.prepare(make_data(root, *words))
        (root / "poetry.lock").write_text("other versions")
        account.clear()
        with pytest.raises(LaunchError, match=r"environment.*commit.*`make image push`"):
            requests.prepare(make_data(root, *words))
        assert "PutObject" not in account.calls
        named = requests.prepare(make_data(root, *words, "--image", IMAGE))
        assert named["AppSpecification"]["ImageUri"] == IMAGE

    def test_a_plan_uploads_nothing(
        self, root: Path, account: Faults, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["make_data", "--input_path", str(root / "raw"), *ON_SAGEMAKER, "--plan"]
        assert main(words) == 0
        assert "code" in inputs(json.loads(capsys.readouterr().out))
        assert "PutObject" not in account.calls

    def test_the_code_is_uploaded_once_for_all_steps(self, root: Path, account: Faults) -> None:
        edit(root)
        words = ["--input_path.make_data", str(root / "raw"), *ON_SAGEMAKER, "--no-wait"]
        made = pipeline.parse(words)
        account.clear()
        execution.run(made, definition.build(made))
        sources = [inputs(step.request)["code"] for step in made.steps]
        assert sources[0] == sources[1]
        key = sources[0]["S3Uri"].partition("//")[2].partition("/")[2]
        edited = (root / "entrypoints" / "make_data.py").read_bytes()
        assert stored(key)["entrypoints/make_data.py"] == edited
        files = len(code.read().snapshot.files)
        assert account.calls["PutObject"] == files + len(list((root / "raw").iterdir())) + 2
        client = clients.client("sagemaker")
        found = client.describe_pipeline(PipelineName="small-launched")
        stamp = tags(made.steps[0].request)["commit"]
        assert stamp.endswith("-dirty")
        assert found["PipelineDescription"] == f"Commit {stamp}"

    @pytest.mark.parametrize("words", [["--code"], ["--code", "--plan"]], ids=" ".join)
    def test_a_deployed_pipeline_rejects_it(self, root: Path, words: list[str]) -> None:
        raw = ["--input_path.make_data", str(root / "raw")]
        with pytest.raises(LaunchError, match=r"--code: a deployed pipeline.*`make image push`"):
            pipeline.parse([*raw, *words], deployed=True)

    def test_it_is_for_all_steps(self, root: Path) -> None:
        raw = ["--input_path.make_data", str(root / "raw"), "--backend=docker"]
        with pytest.raises(LaunchError, match=r"--code: it must be the same"):
            pipeline.parse([*raw, "--code.fit"])


class TestAgain:
    def test_a_request_is_made_again_with_the_code_of_now(self, root: Path) -> None:
        env = ["--env", "COLOUR=blue", "--env", "PYTHONPATH=/opt/more"]
        request = planned(root, "--backend=docker", "--code", *env)
        options = of_request(jobs.read("make_data"), request).options
        assert ["--code"] in options
        assert [each for each in options if each[0].startswith("--env")] == [
            ["--env=COLOUR=blue"],
            ["--env=PYTHONPATH=/opt/more"],
        ]
        without = planned(root, "--backend=docker")
        assert ["--code"] not in of_request(jobs.read("make_data"), without).options

    def test_only_the_code_that_was_brought_along_has_a_digest(self, root: Path) -> None:
        assert code.digest(planned(root, "--backend=docker")) == ""
        digest = code.read().snapshot.digest
        assert code.digest(planned(root, "--backend=docker", "--code")) == digest

    def test_the_image_of_a_commit_is_the_default(self, root: Path) -> None:
        edit(root)
        head = commit(root)
        request = planned(root, "--backend=docker", "--no-code")
        assert tags(request)["commit"] == head
        assert "code" not in tags(request)
        prepared = requests.prepare(make_data(root, "--backend=docker", "--no-code"))
        assert prepared["AppSpecification"]["ImageUri"] == f"team/model:{head}"

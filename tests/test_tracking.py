"""Launches are logged to a real MLflow tracking server with the dependency group ``mlflow``.

The server is in an environment of its own, build/mlflow. Requests to a server of SageMaker go to it
through a proxy that checks their signatures as AWS does.
"""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import loopback
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import SLUG, TEMPLATE, run
from launching import DATA, SCORE, SMALL_TABLE

pytest_plugins = ["launching"]
pytestmark = pytest.mark.slow

REGION = "eu-west-1"
ARN = f"arn:aws:sagemaker:{REGION}:123456789012:mlflow-tracking-server/team"
CREDENTIALS = Credentials("AKIDEXAMPLE", "not a secret")
DENIED = "not authorized to perform: sagemaker-mlflow:GetExperimentByName"

SERVER = """
import os, sys

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{sys.argv[1]}/runs.db"
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = f"{sys.argv[1]}/artifacts"

from mlflow.server import app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""What the command `mlflow server` serves, without its processes for other tasks."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server."""
    run(TEMPLATE.parent, "make", "build/mlflow/installed")
    python = TEMPLATE.parent / "build" / "mlflow" / "bin" / "python"
    folder = tmp_path_factory.mktemp("mlflow")
    command = [str(python), "-c", SERVER, str(folder)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout
            port = process.stdout.readline().strip()
            assert port, (folder / "log").read_text()
            address = f"http://127.0.0.1:{port}"
            ask(address, "experiments/search", {"max_results": 1})  # creates the database
            yield address
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def tracked(
    project: Path, installed_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The repository with the small jobs, and the group ``mlflow`` of the shipped lock."""
    folder = tmp_path_factory.mktemp("tracked") / project.name
    shutil.copytree(project, folder, symlinks=True, ignore=shutil.ignore_patterns("out"))
    (folder / ".venv").unlink()
    shutil.copytree(installed_project / ".tools", folder / ".tools", symlinks=True)
    run(folder, "make", "install", "GROUPS=launch mlflow")
    (folder / "launch.toml").write_text(SMALL_TABLE)
    return folder


@pytest.fixture
def env(no_aws: dict[str, str], tracked: Path) -> dict[str, str]:
    """An environment without a tracking server."""
    return {
        **{name: value for name, value in no_aws.items() if not name.startswith("MLFLOW_")},
        "PYTHONPATH": str(tracked / "src"),
        "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    }


def launch(project: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a launch that must succeed."""
    command = [str(project / ".venv" / "bin" / "python"), "-m", "launch", *words]
    done = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def logged(server: str, name: str) -> list[dict[str, Any]]:
    """The runs of MLflow that have a name, with their parameters, metrics and tags."""
    experiments = ask(server, "experiments/search", {"max_results": 10})["experiments"]
    (experiment,) = [each["experiment_id"] for each in experiments if each["name"] == SLUG]
    wanted = {"experiment_ids": [experiment], "filter": f"run_name = '{name}'"}
    runs: list[dict[str, Any]] = ask(server, "runs/search", wanted).get("runs", [])
    return runs


def ask(server: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = Request(f"{server}/api/2.0/mlflow/{path}", json.dumps(body).encode(), headers)  # noqa: S310
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def pairs(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in items}


def test_a_run_of_the_pipeline_is_logged_once(
    tracked: Path, server: str, env: dict[str, str]
) -> None:
    env |= {"MLFLOW_TRACKING_URI": server}
    words = ("pipeline", "--input_path.gather", DATA, "--run_name", "plain", "--seed.fit", "3")
    done = launch(tracked, env, *words)
    assert done.stderr == ""
    (found,) = logged(server, "plain")
    assert found["info"]["status"] == "FINISHED"
    assert found["info"]["start_time"] <= found["info"]["end_time"]
    assert pairs(found["data"]["metrics"])["fit.score"] == SCORE
    assert pairs(found["data"]["params"])["fit.seed"] == "3"
    tags = pairs(found["data"]["tags"])
    assert tags["job"] == "pipeline"
    assert tags["launch"].startswith(f"{SLUG}-pipeline-")
    assert re.match("[0-9a-f]{40}", tags["mlflow.source.git.commit"])
    again = launch(tracked, env, "logs", "plain")
    assert "MLflow" not in again.stdout + again.stderr
    assert logged(server, "plain") == [found]


class Proxy(BaseHTTPRequestHandler):
    """What AWS is for a server that SageMaker manages."""

    server_address_behind = ""
    """Empty if every request is denied."""
    seen: list[str]
    """The signed requests, and the hosts to which a connection was wanted."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert self.headers["x-mlflow-sm-tracking-server-arn"] == ARN
        assert self.headers["X-Amz-Content-SHA256"] == hashlib.sha256(body).hexdigest()
        assert self.headers["Authorization"].endswith(f"Signature={self._signature(body)}")
        self.seen.append(self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/"))
        status, answer = self._forward(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_CONNECT(self) -> None:
        self.seen.append(self.path)
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass

    def _signature(self, body: bytes) -> str:
        """Return the signature that a request must have."""
        names = re.search("SignedHeaders=([^,]+)", self.headers["Authorization"])
        assert names
        signed = {name: self.headers[name] for name in names[1].split(";")}
        request = AWSRequest(self.command, f"http://{signed['host']}{self.path}", signed, body)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = SigV4Auth(CREDENTIALS, "sagemaker-mlflow", REGION)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return str(signer.signature(text, request))

    def _forward(self, body: bytes) -> tuple[int, bytes]:
        if not self.server_address_behind:
            return 403, json.dumps({"message": DENIED}).encode()
        address = f"{self.server_address_behind}{self.path}"
        headers = {"Content-Type": "application/json"}
        request = Request(address, body or None, headers, method=self.command)  # noqa: S310
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()


@contextmanager
def proxy(behind: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a proxy, and what it sees."""
    seen: list[str] = []
    handler = type("Handler", (Proxy,), {"server_address_behind": behind, "seen": seen})
    with loopback.serve(handler) as address:
        yield address, seen


def test_requests_to_a_server_of_sagemaker_are_signed(
    tracked: Path, server: str, env: dict[str, str]
) -> None:
    with proxy(server) as (address, seen):
        env |= {"MLFLOW_TRACKING_URI": ARN, "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": address}
        done = launch(tracked, env, "gather", "--input_path", DATA, "--run_name", "signed")
    assert done.stderr == ""
    (found,) = logged(server, "signed")
    assert found["info"]["status"] == "FINISHED"
    assert pairs(found["data"]["tags"])["job"] == "gather"
    # Each is an action of its own in IAM; docs/daily_work.md lists them.
    assert set(seen) <= {
        *("experiments/get-by-name", "experiments/create"),
        *("runs/search", "runs/create", "runs/log-batch", "runs/update"),
    }
    assert "runs/log-batch" in seen


def test_the_arn_leads_to_aws(tracked: Path, env: dict[str, str]) -> None:
    with proxy("") as (address, seen):
        env |= {"MLFLOW_TRACKING_URI": ARN, "HTTPS_PROXY": address, "https_proxy": address}
        done = launch(tracked, env, "gather", "--input_path", DATA)
    assert set(seen) == {f"{REGION}.experiments.sagemaker.aws:443"}
    assert "not logged to MLflow" in done.stderr


def test_a_denied_request_is_reported_in_one_line(tracked: Path, env: dict[str, str]) -> None:
    with proxy("") as (address, seen):
        env |= {"MLFLOW_TRACKING_URI": ARN, "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": address}
        done = launch(tracked, env, "gather", "--input_path", DATA)
    assert seen
    (line,) = done.stderr.splitlines()
    assert DENIED in line
    assert ARN in line
    assert f"launch logs {SLUG}-gather-" in line
    assert "Completed" in done.stdout


def test_without_the_group_a_launch_says_how_to_install_it(
    project: Path, env: dict[str, str]
) -> None:
    env |= {"MLFLOW_TRACKING_URI": ARN, "PYTHONPATH": str(project / "src")}
    done = launch(project, env, "gather", "--input_path", DATA)
    (line,) = done.stderr.splitlines()
    assert "make install GROUPS='dev launch notebook mlflow'" in line
    shutil.rmtree(project / "out")

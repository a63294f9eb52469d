"""What a list of launches costs: 1,000 runs on SageMaker, and 1,000 on this machine.

    .venv/bin/python benchmarks/history.py

AWS is a server in this file, which answers every request after 30 ms. The first list describes the
newest fifty jobs; the second one finds them in ``out/.cache``.
"""

import json
import multiprocessing
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from timing import compare, generate, shell

LATENCY = 0.03
RUNS = 1000
ROUNDS = 5
_START = 1_796_000_000
_ARN = "arn:aws:sagemaker:eu-west-1:123456789012:processing-job"

LOCAL = """
import json
import sys
from datetime import UTC, datetime
from launch.settings import project

for number in range(int(sys.argv[1])):
    name = f"{project.name()}-train-20261130-120000-{number:06}"
    folder = project.OUT / ".launches" / name
    folder.mkdir(parents=True)
    started = {"job": "train", "run": f"r{number}", "backend": "local", "outputs": {}}
    started["started"] = datetime.fromtimestamp(int(sys.argv[2]) - number, UTC).isoformat()
    (folder / "request.json").write_text(json.dumps(started))
    end = {"ended": started["started"], "status": "Completed"}
    (folder / "end.json").write_text(json.dumps(end))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "generated").mkdir()
        project = generate(Path(folder) / "generated")
        shell(project, "make", "install")
        python = project / ".venv" / "bin" / "python"
        cache = project / "out" / ".cache" / "descriptions"
        with sagemaker() as (endpoint, calls):
            keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
            settings = [
                f"{key}={value}"
                for key, value in {
                    **keys,
                    "AWS_REGION": "eu-west-1",
                    "AWS_ENDPOINT_URL": endpoint,
                }.items()
            ]

            def show(limit: int, *, cached: bool) -> None:
                if not cached:
                    shutil.rmtree(cache, ignore_errors=True)
                command = [python, "-m", "launch", "list", "--limit", str(limit)]
                shell(project, "env", *settings, *map(str, command))

            for title in (f"{RUNS} jobs on SageMaker", f"{RUNS} more on this machine"):
                if "more" in title:
                    shell(project, python, "-c", LOCAL, str(RUNS), str(_START))
                print(f"\n`launch list`: {title}, over the list of 20\n")
                compare(
                    {
                        "20, first": lambda: show(20, cached=False),
                        "20, again": lambda: show(20, cached=True),
                        f"{RUNS}, first": lambda: show(RUNS, cached=False),
                        f"{RUNS}, again": lambda: show(RUNS, cached=True),
                    },
                    baseline="20, first",
                    rounds=ROUNDS,
                )
            calls()
            show(RUNS, cached=False)
            print(f"\nCalls of a first list of {RUNS}: {json.dumps(calls())}")


@contextmanager
def sagemaker() -> Iterator[tuple[str, Any]]:
    """Serve SageMaker in a process of its own.

    Yields its address, and a function that returns the calls since it was called last.
    """
    parent, child = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(child,), daemon=True)
    process.start()

    def calls() -> dict[str, int]:
        parent.send("calls")
        counted: dict[str, int] = parent.recv()
        return counted

    try:
        yield f"http://127.0.0.1:{parent.recv()}", calls
    finally:
        process.terminate()
        process.join()


def _serve(connection: Connection) -> None:
    calls: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # the answer's head and body are sent separately

        def do_POST(self) -> None:
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            calls[operation] += 1
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(_answer(operation, asked)).encode()
            time.sleep(LATENCY)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection.send(server.server_port)
    while connection.recv():
        connection.send(dict(calls))
        calls.clear()


def _answer(operation: str, asked: dict[str, Any]) -> dict[str, Any]:
    if operation == "ListProcessingJobs":
        first, project = int(asked.get("NextToken", 0)), asked["NameContains"]
        shown = range(first, min(first + 100, RUNS))
        listed = [
            {
                "ProcessingJobName": name,
                "ProcessingJobArn": f"{_ARN}/{name}",
                "ProcessingJobStatus": "Completed",
                "CreationTime": _START - number,
                "ProcessingEndTime": _START + 60,
            }
            for number in shown
            for name in [f"{project}train-20261130-120000-{number:06}"]
        ]
        more = {"NextToken": str(first + 100)} if first + 100 < RUNS else {}
        return {"ProcessingJobSummaries": listed, **more}
    if operation == "GetResources":
        tags = {"job": "train", "commit": "c" * 40, "run": "r"}
        return {
            "ResourceTagMappingList": [
                {
                    "ResourceARN": arn,
                    "Tags": [
                        {"Key": key, "Value": value}
                        for key, value in {
                            **tags,
                            "project": arn.rpartition("/")[2].partition("-train-")[0],
                        }.items()
                    ],
                }
                for arn in asked["ResourceARNList"]
            ]
        }
    if operation == "DescribeProcessingJob":
        cluster = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
        output = {"OutputName": "model", "S3Output": {"S3Uri": "s3://bucket/runs/r/train/model"}}
        return {
            "ProcessingJobName": asked["ProcessingJobName"],
            "ProcessingResources": {"ClusterConfig": cluster},
            "ProcessingOutputConfig": {"Outputs": [output]},
        }
    return {"PipelineExecutionSummaries": []}


if __name__ == "__main__":
    main()

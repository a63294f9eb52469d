"""Runs the jobs of an installed project, many of them in a short time.

Each is a fork of one process that has imported the libraries, so that it takes a fraction of a
second. From its arguments on it does the same as a separate process.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_DRIVER = """
import json, os, runpy, signal, sys
import polars, sklearn.ensemble, sklearn.metrics, sklearn.model_selection

signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell that does not wait has it ignored
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        code = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        output = order["output"]
        print(json.dumps([code, os.listdir(output) if os.path.isdir(output) else []]), flush=True)
    elif child := os.fork():
        print(child, flush=True)
    else:
        for number in (1, 2):
            os.dup2(os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.environ.update(order["env"])
        sys.argv = order["argv"]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as exit:
            os._exit(exit.code)
        os._exit(0)
"""


@dataclass(frozen=True)
class Jobs:
    """Starts jobs as a user whom permissions restrict, even if the tests run as root."""

    raw: Path
    full: Path
    """A full disk for the jobs; the tests see an empty folder."""
    _driver: subprocess.Popen[str]

    def start(self, name: str, base: Path, **options: object) -> int:
        """Start an entrypoint, with a folder that stands for ``/opt/ml``, and return its pid."""
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        env = {"SAGEMAKER_BASE_DIR": str(base), "API_TOKEN": "S3NT1NEL", "JOB_CPUS": "2"}
        argv = [f"entrypoints/{name}.py", *words]
        self._order(argv=argv, env=env, log=str(base / "log"))
        return int(self._answer())

    def wait(self, process: int, output: Path) -> tuple[int, list[str]]:
        """Wait for a job, and return its exit code and the names in its output."""
        self._order(wait=process, output=str(output))
        code, names = json.loads(self._answer())
        return code, names

    def run(self, name: str, base: Path, output: Path, **options: object) -> None:
        """Run a job that must succeed."""
        base.mkdir(exist_ok=True)
        process = self.start(name, base, output_path=output, **options)
        assert self.wait(process, output)[0] == 0, (base / "log").read_text()

    @staticmethod
    def write_record(output: Path) -> None:
        """Make the record of an output list the files that are there now."""
        record = output / "job.json"
        files = {
            path.relative_to(output).as_posix(): path.read_bytes()
            for path in output.rglob("*")
            if path.is_file() and path != record
        }
        listed = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        }
        record.write_text(json.dumps(json.loads(record.read_text()) | {"files": listed}))

    def _order(self, **order: object) -> None:
        assert self._driver.stdin
        print(json.dumps(order), file=self._driver.stdin, flush=True)

    def _answer(self) -> str:
        assert self._driver.stdout
        return self._driver.stdout.readline()


@pytest.fixture(scope="session")
def jobs(installed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """The jobs of the installed project."""
    if os.uname().sysname != "Linux":
        pytest.skip("only Linux mounts a full disk for one process")
    full = tmp_path_factory.mktemp("full")
    raw = tmp_path_factory.mktemp("inputs") / "raw"
    shutil.copytree(installed_project / "data" / "penguins", raw)
    python = str(installed_project / ".venv" / "bin" / "python")
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    bound = "setpriv --bounding-set=-dac_override,-dac_read_search"
    script = f'mount -t tmpfs -o size=4k none "$0" && exec {bound} "$@"'
    with subprocess.Popen(
        ["unshare", "--mount", *own, "sh", "-c", script, str(full), python, "-u", "-c", _DRIVER],
        cwd=installed_project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        yield Jobs(raw, full, driver)

"""The notebook runs unchanged on each of the three backends."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import emulator
import pytest
from conftest import TABLE, TEMPLATE, run

pytest_plugins = ["launching"]
pytestmark = pytest.mark.slow

NOTEBOOK = Path("notebooks/launch.ipynb")
RUN_NAME = "notebook"
EXECUTE = """\
import json, sys, nbformat
from nbclient import NotebookClient

backend, run_name = sys.argv[1:]
notebook = nbformat.read("notebooks/launch.ipynb", 4)
(parameters,) = [
    cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
]
assert 'backend = "local"' in parameters.source
parameters.source = parameters.source.replace('backend = "local"', f"backend = {backend!r}")
parameters.source += f"\\nrun_name = {run_name!r}"
source = "print((folders[metric.job, metric.output] / metric.file).read_text())"
read_metric = nbformat.v4.new_code_cell(source, id="read-metric")
notebook.cells.append(read_metric)
NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "notebooks"}}).execute()
nbformat.write(notebook, sys.stdout)
"""
SHOW = """\
import sys
from pathlib import Path

sys.path[:0] = [".", "notebooks"]
from show import show_files, show_json

show_files(Path(sys.argv[1]))
show_json(Path(sys.argv[1]))
"""


def _execute(project: Path, backend: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Return what each cell showed, by the cell's name."""
    python = project / ".venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-c", EXECUTE, backend, RUN_NAME],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    return {cell["id"]: cell.get("outputs", []) for cell in cells}


def _data(outputs: list[Any], kind: str) -> list[str]:
    """Return all that a cell showed in a format."""
    return ["".join(each["data"][kind]) for each in outputs if kind in each.get("data", {})]


def test_no_output_is_in_git() -> None:
    cells = json.loads((TEMPLATE / NOTEBOOK).read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"]]


@pytest.mark.docker
def test_the_notebook_gives_the_same_metrics_on_every_backend(
    project: Path,
    no_aws: dict[str, str],
    service: emulator.Emulator,
    aws: dict[str, str],
) -> None:
    assert service
    metrics = {}
    for backend, env in (("local", no_aws), ("docker", no_aws), ("sagemaker", aws)):
        shown = _execute(project, backend, env)
        (jobs,) = _data(shown["jobs"], "text/html")
        assert all(f"<td>{job}</td>" in jobs for job in TABLE["pipeline"]["jobs"])
        for cell in ("single", "pipeline"):
            assert "Completed" in _data(shown[cell], "text/plain")[-1]
        (listed,) = _data(shown["list"], "text/html")
        assert all(f">{job}</td>" in listed for job in TABLE["pipeline"]["jobs"])
        assert "Completed" in _data(shown["logs"], "text/html")[-1]
        assert _data(shown["metric"], "image/png")
        assert TABLE["metric"]["file"] in "".join(_data(shown["files"], "text/html"))
        assert _data(shown["json"], "text/html")
        (compared,) = _data(shown["compare"], "text/html")
        assert f"{TABLE['metric']['job']}.{TABLE['metric']['name']}" in compared
        assert _data(shown["metric-over-runs"], "image/png")
        (written,) = shown["read-metric"]
        metrics[backend] = json.loads("".join(written["text"]))
        shutil.rmtree(project / "out")
    assert metrics["local"]
    assert metrics["local"] == metrics["docker"] == metrics["sagemaker"]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="no file"),
        pytest.param({"a.json": "", "b.json": b"\xff", "c.json": "{"}, id="not JSON"),
        pytest.param({"a.json": "[]", "b.json": "{}", "c.json": "null"}, id="empty"),
        pytest.param({"a.json": "{}", "b.json": "{}"}, id="empty objects"),
        pytest.param({"a.json": '{"x": 1}', "b.json": '{"y": [1]}'}, id="other keys"),
        pytest.param({"a.json": '{"x": 1}', "b.json": '{"x": NaN}', "c": "c"}, id="not a number"),
        pytest.param({"a.json": '[{"x": 1}, {"y": "<b>"}]'}, id="list of objects"),
        pytest.param({"a.json": '{"x": [[]], "y": [[1, 2], [3]], "z": [1, "a"]}'}, id="lists"),
        pytest.param({"a.json": "[[1, 2, 3], [4, 5, 6.5]]"}, id="matrix"),
        pytest.param({"a.json": '{"x": {"y": {"z": {"": [[null]]}}}, "": {}}'}, id="deep"),
        pytest.param({"a.json": json.dumps([{"x": 0}] * 100)}, id="many rows"),
        pytest.param({"job.json": "{}", "job-algo-1.json": "[]", "jobs.json": "1"}, id="records"),
    ],
)
def test_any_files_can_be_shown(
    installed_project: Path, tmp_path: Path, files: Mapping[str, str | bytes]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    python = str(installed_project / ".venv/bin/python")
    run(installed_project, python, "-c", SHOW, str(tmp_path), MPLBACKEND="agg")

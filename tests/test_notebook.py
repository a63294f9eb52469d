"""The notebook, executed as it is on each of the three backends."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import emulator
import pytest
from conftest import SLUG, TEMPLATE

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
NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "notebooks"}}).execute()
nbformat.write(notebook, sys.stdout)
"""


def _execute(project: Path, backend: str, env: Mapping[str, str]) -> dict[str, Any]:
    """What the cells showed, by cell: the data of their last output."""
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
    outputs = {cell["id"]: cell.get("outputs") for cell in cells}
    return {name: shown[-1].get("data", {}) for name, shown in outputs.items() if shown}


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
    metrics = {}
    for backend, env in (("local", no_aws), ("docker", no_aws), ("sagemaker", aws)):
        shown = _execute(project, backend, env)
        for cell in ("train", "pipeline"):
            assert "Completed" in "".join(shown[cell]["text/plain"])
        assert {"image/png"} < set(shown["trials"]) & set(shown["confusion"])
        if backend == "sagemaker":
            key = f"{SLUG}/runs/{RUN_NAME}/train/model/metrics.json"
            metrics[backend] = json.loads(service.read(key))
        else:
            model = project / "out" / RUN_NAME / "train" / "model"
            metrics[backend] = json.loads((model / "metrics.json").read_text())
        shown_metrics = "".join(shown["metrics"]["text/plain"])
        assert all(label in shown_metrics for label in metrics[backend]["labels"])
        shutil.rmtree(project / "out")
    assert metrics["local"]["n"] > 0
    assert metrics["local"] == metrics["docker"] == metrics["sagemaker"]

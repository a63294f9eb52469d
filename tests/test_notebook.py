"""The notebook, executed as it is in each of its three places."""

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
EXECUTE = """\
import json, sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read("notebooks/launch.ipynb", 4)
for cell in notebook.cells:
    if "parameters" in cell.metadata.get("tags", []):
        assert 'where = "here"' in cell.source
        cell.source = cell.source.replace('where = "here"', f"where = {sys.argv[1]!r}")
        cell.source += '\\nrun_name = "notebook"'
NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "notebooks"}}).execute()
nbformat.write(notebook, sys.stdout)
"""


def _execute(python: Path, project: Path, where: str, env: Mapping[str, str]) -> dict[str, Any]:
    """What the cells showed, by cell: the data of their last output."""
    done = subprocess.run(
        [python, "-c", EXECUTE, where],
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
def test_the_notebook_gives_the_same_metrics_everywhere(
    project: Path,
    sdk: Path,
    no_aws: dict[str, str],
    service: emulator.Emulator,
    aws: dict[str, str],
) -> None:
    metrics = {}
    python = project / ".venv" / "bin" / "python"
    for where, env in (("here", no_aws), ("docker", no_aws), ("sagemaker", aws)):
        shown = _execute(sdk if where == "sagemaker" else python, project, where, env)
        for cell in ("train", "pipeline"):
            assert "Completed" in "".join(shown[cell]["text/plain"])
        assert {"image/png"} < set(shown["trials"]) & set(shown["confusion"])
        if where == "sagemaker":
            key = f"{SLUG}/notebook/train/model/metrics.json"
            metrics[where] = json.loads(service.read(key))
        else:
            model = project / "out" / "notebook" / "train" / "model"
            metrics[where] = json.loads((model / "metrics.json").read_text())
        shown_metrics = "".join(shown["metrics"]["text/plain"])
        assert all(label in shown_metrics for label in metrics[where]["labels"])
        shutil.rmtree(project / "out")
    assert metrics["here"]["n"] > 0
    assert metrics["here"] == metrics["docker"] == metrics["sagemaker"]

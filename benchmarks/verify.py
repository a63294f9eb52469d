"""Verifying a data set of 1 GB against its record, against reading it.

``python benchmarks/verify.py`` takes 5 to 15 minutes, 10 GB of memory and 5 GB of the temporary
folder (``TMPDIR``). The data are the penguins, repeated with noise; preprocess writes them. The
files are in the page cache for both sides.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from scale import MAKE
from timing import generate, shell

TABLES, ROWS = 24, 2_000_000
MEASURE = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from timing import compare
from penguin_species import dataset, runtime

path = Path(sys.argv[2])


def read():
    for side in ("train", "test"):
        dataset.load(path / side)


compare(
    {"dataset.load": read, "verification": lambda: runtime.finished_output(str(path))},
    baseline="dataset.load",
    rounds=3,
)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        project = generate(scratch)
        shell(project, "make", "install")
        python = project / ".venv" / "bin" / "python"
        raw, dataset = scratch / "raw", scratch / "dataset"
        tables = {str(raw / f"{number:02}.csv"): ROWS for number in range(TABLES)}
        shell(project, python, "-c", MAKE, json.dumps(tables))
        paths = ("--input_path", raw, "--output_path", dataset)
        shell(project, python, "entrypoints/preprocess.py", *paths)
        files = [file for file in dataset.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        print(f"{size / 1e9:.2f} GB in {len(files)} files", flush=True)
        benchmarks = Path(__file__).parent
        subprocess.run([python, "-c", MEASURE, benchmarks, dataset], cwd=project, check=True)


if __name__ == "__main__":
    main()

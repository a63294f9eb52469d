"""Naming the versions in a job's record, against importlib.metadata's ``packages_distributions()``.

Each in a process of its own that imports what every job does, with dev and launch installed.
"""

import tempfile
from pathlib import Path

from timing import compare, generate, shell

RUNTIME = "import importlib.metadata; from penguin_species import runtime"
LIBRARY = f"{RUNTIME}; importlib.metadata.packages_distributions()"
RECORD = f"{RUNTIME}.versions; runtime.versions.imported_versions()"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        shell(project, "make", "install")
        python = project / ".venv" / "bin" / "python"
        compare(
            {
                "packages_distributions": lambda: shell(project, python, "-c", LIBRARY),
                "record": lambda: shell(project, python, "-c", RECORD),
                "neither": lambda: shell(project, python, "-c", RUNTIME),
            },
            baseline="packages_distributions",
            rounds=10,
        )


if __name__ == "__main__":
    main()

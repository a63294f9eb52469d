"""`make install` of a generated project, against `poetry install` of the same groups.

Both start without an environment, with the tools in place and warm package caches. Goal: a ratio of
at most 0.3.

The second table is `make demo` in a fresh clone of the template, with warm package caches, and the
run of the pipeline that it ends with, once more. Goal: 15 seconds.
"""

import shutil
import tempfile
from pathlib import Path

from timing import REPOSITORY, compare, generate, shell


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        by_poetry = project / "poetry-install.mk"
        by_poetry.write_text(
            "GROUPS := dev launch\ninclude venv.mk\n"
            "poetry-install: .tools/installed\n"
            "\tPOETRY_PYPI_MIRROR_URL=$(INDEX) $(POETRY) install $(GROUPS:%=--with %)\n"
        )
        shell(project, "make", ".tools/installed")

        def make_install() -> None:
            shutil.rmtree(project / ".venv", ignore_errors=True)
            shell(project, "make", "install")

        def poetry_install() -> None:
            shutil.rmtree(project / ".venv", ignore_errors=True)
            shell(project, "make", "--file", by_poetry, "poetry-install")

        compare(
            {
                "poetry install": poetry_install,
                "make install": make_install,
            },
            baseline="poetry install",
            rounds=3,
        )
        demo(Path(folder) / "clone")


def demo(clone: Path) -> None:
    """Time `make demo` and the run that is part of it."""

    def fresh() -> None:
        shutil.rmtree(clone, ignore_errors=True)
        shell(REPOSITORY, "git", "clone", "--quiet", ".", clone)
        shell(clone, "make", "demo")

    def again() -> None:
        (project,) = (clone / "build" / "demo").iterdir()
        shell(project, "make", "run")

    print()
    compare({"make demo": fresh, "its run once more": again}, baseline="make demo", rounds=3)


if __name__ == "__main__":
    main()

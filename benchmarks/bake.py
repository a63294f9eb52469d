"""Baking the default project, against an empty template with `git init` and one commit.

Goal: a ratio of at most 1.5. The third line is the share of it that is git's: a commit of as many
files as the project has.
"""

import itertools
import sys
import tempfile
from pathlib import Path

from timing import REPOSITORY, compare, shell

COOKIECUTTER = (sys.executable, "-m", "cookiecutter", "--no-input", "--default-config")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        empty = scratch / "empty"
        (empty / "{{cookiecutter.name}}").mkdir(parents=True)
        (empty / "{{cookiecutter.name}}" / "README.md").touch()
        (empty / "cookiecutter.json").write_text('{"name": "empty-project"}')
        shell(scratch, *COOKIECUTTER, "--accept-hooks", "no", "--output-dir", "files", REPOSITORY)
        (files,) = (scratch / "files").iterdir()
        outputs = (scratch / str(number) for number in itertools.count())

        def template() -> None:
            shell(scratch, *COOKIECUTTER, "--output-dir", next(outputs), REPOSITORY)

        def commit(tree: Path | str) -> None:
            output = next(outputs)
            shell(scratch, *COOKIECUTTER, "--output-dir", output, empty)
            project = output / "empty-project"
            shell(project, "git", "init", "--quiet")
            shell(project, "git", "--work-tree", tree, "add", "--all")
            shell(project, "git", "--work-tree", tree, "commit", "--quiet", "--message", "Start")

        compare(
            {
                "this template": template,
                "empty template, git": lambda: commit("."),
                "the same, committing this template's files": lambda: commit(files),
            },
            baseline="empty template, git",
            rounds=9,
        )


if __name__ == "__main__":
    main()

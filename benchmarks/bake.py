"""Baking the default project, against an empty template with `git init` and one commit.

Goal: a ratio of at most 1.5. The other lines are what no hook can be blamed for: git's share, in a
commit of as many files as the project has, and this template with hooks that do nothing but call
git. Leave two minutes between runs: ext4 without a journal reuses no inode for a minute or more
after its file was deleted, and each run ends by deleting thousands.
"""

import itertools
import tempfile
from pathlib import Path

from timing import COOKIECUTTER, REPOSITORY, compare, shell

ONLY_GIT = """\
import os

for command in ("git init -q", "git add --all", "git commit -q -m Start"):
    os.waitpid(os.posix_spawnp("git", command.split(), os.environ), 0)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        empty = scratch / "empty"
        (empty / "{{cookiecutter.name}}").mkdir(parents=True)
        (empty / "{{cookiecutter.name}}" / "README.md").touch()
        (empty / "cookiecutter.json").write_text('{"name": "empty-project"}')
        bare = scratch / "bare"
        shell(scratch, "git", "clone", "--quiet", REPOSITORY, bare)
        (bare / "hooks" / "pre_gen_project.py").write_text("")
        (bare / "hooks" / "post_gen_project.py").write_text(ONLY_GIT)
        shell(scratch, *COOKIECUTTER, "--accept-hooks", "no", "--output-dir", "files", REPOSITORY)
        (files,) = (scratch / "files").iterdir()
        outputs = (scratch / str(number) for number in itertools.count())

        def bake(template: Path) -> Path:
            output = next(outputs)
            shell(scratch, *COOKIECUTTER, "--output-dir", output, template)
            return output

        def commit(tree: Path | str) -> None:
            project = bake(empty) / "empty-project"
            shell(project, "git", "init", "--quiet")
            shell(project, "git", "--work-tree", tree, "add", "--all")
            shell(project, "git", "--work-tree", tree, "commit", "--quiet", "--message", "Start")

        compare(
            {
                "this template": lambda: bake(REPOSITORY),
                "empty template, git": lambda: commit("."),
                "the same, committing this template's files": lambda: commit(files),
                "this template, hooks of git alone": lambda: bake(bare),
            },
            baseline="empty template, git",
            rounds=15,
        )


if __name__ == "__main__":
    main()

"""Rendering writes exactly the files of the template, with the answers as typed."""

import compileall
import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from conftest import COOKIECUTTER, PACKAGE, SLUG, TEMPLATE, Bake, run

UNUSUAL = [
    pytest.param('it\'s "quoted" and `ticked`', id="quotes"),
    pytest.param("ends with a backslash \\", id="backslash"),
    pytest.param("\"\"\" and '''", id="triple quotes"),
    pytest.param("first\nsecond", id="newline"),
    pytest.param("🐧 Pingüin пингвин", id="unicode"),
    pytest.param("{{ 7*7 }} {% raw %} {# #}", id="jinja"),
    pytest.param("$(touch injected) `touch injected` ; touch injected", id="shell"),
    pytest.param("key: [value, &anchor *alias] #", id="yaml"),
    pytest.param("", id="empty"),
]


def files(folder: Path) -> set[str]:
    listed = run(folder, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return {name for name in listed.split("\0") if name}


def read(project: Path) -> dict[str, str]:
    """The text files, by path; a table of the example may be none."""
    contents = {
        name: (project / name).read_bytes() for name in files(project) if (project / name).exists()
    }
    return {name: content.decode() for name, content in contents.items() if b"\0" not in content}


def test_files_are_those_of_the_template(generated: Path) -> None:
    expected = {
        name.replace("{{cookiecutter.__package_name}}", PACKAGE)
        for name in files(TEMPLATE)
        if (TEMPLATE / name).exists()
    }
    assert files(generated) == expected | {"aws.env"}
    assert run(generated, "git", "status", "--porcelain", "--ignored") == ""


def test_nothing_is_left_to_render(generated: Path) -> None:
    for name, text in read(generated).items():
        assert "cookiecutter" not in name
        assert not re.search(r"\{\{ ?cookiecutter|\{%|\{# ", text), name


def test_rendered_code_holds_nothing_for_jinja_but_answers() -> None:
    """A format of Docker or a doubled brace of an f-string would come out as something else."""
    copied = json.loads((TEMPLATE.parent / "cookiecutter.json").read_text())["_copy_without_render"]
    for name, text in read(TEMPLATE).items():
        if name.endswith(".py") and not any(fnmatch(name, pattern) for pattern in copied):
            assert not re.search(r"\{\{(?! cookiecutter\.\w+ \}\})|\{%|\{#", text), name


def test_scripts_can_be_run_and_nothing_else(generated: Path) -> None:
    for name in files(generated):
        text = (generated / name).read_bytes()
        assert bool((generated / name).stat().st_mode & 0o111) == text.startswith(b"#!"), name


def test_line_ends_and_final_newlines(generated: Path) -> None:
    for name, text in read(generated).items():
        assert "\r" not in text, name
        assert text == "" or text.endswith("\n"), name


@pytest.mark.parametrize("slug", ["a", "two-words", "x" * 29, "z9-8-seven"])
def test_everything_parses_whatever_the_names(bake: Bake, slug: str) -> None:
    project = bake(project_slug=slug, ecr_repository="team/image")
    assert project.name == slug
    for name, text in read(project).items():
        match Path(name).suffix:
            case ".toml" | ".lock":
                tomllib.loads(text)
            case ".json" | ".ipynb":
                json.loads(text)
            case ".yaml" | ".yml" if not name.startswith("infra/"):
                list(yaml.safe_load_all(text))
    assert compileall.compile_dir(project, quiet=1, force=True)


@pytest.mark.parametrize("description", UNUSUAL)
def test_description_comes_out_as_it_went_in(bake: Bake, description: str) -> None:
    project = bake(description=description, author=description.replace("\n", " ") or "Team")
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["description"] == description
    assert metadata["authors"] == [{"name": description.replace("\n", " ") or "Team"}]
    assert description in (project / "README.md").read_text(encoding="utf-8")
    assert not list(project.parent.rglob("injected"))


def test_ecr_repository_may_have_a_namespace(bake: Bake) -> None:
    project = bake(ecr_repository="team/churn.model")
    assert "ECR_REPOSITORY=team/churn.model\n" in (project / "aws.env").read_text()


def test_questions_are_explained_and_need_no_answer(tmp_path: Path) -> None:
    """The command of the README, with its prompts answered by nothing but Enter."""
    done = subprocess.run(
        [*COOKIECUTTER, "--output-dir", tmp_path, TEMPLATE.parent],
        input="\n" * 10,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / SLUG / "poetry.lock").exists()
    questions = json.loads((TEMPLATE.parent / "cookiecutter.json").read_text())
    for question in (name for name in questions if not name.startswith("_")):
        assert questions["__prompts__"][question] in " ".join(done.stdout.split())

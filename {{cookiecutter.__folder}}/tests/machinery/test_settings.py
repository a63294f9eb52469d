"""How the scripts read and write aws.env and image.env, and that any folder will do for them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOL = """\
#!/bin/sh
echo "$@" >>"$0.log"
[ "$*" != "configure get region" ] || echo eu-central-1
"""


@pytest.fixture
def project(repository: Path, tmp_path: Path) -> Path:
    """The scripts in a folder whose name needs quoting, and tools that log how they are called."""
    folder = tmp_path / """it's a "new" \\ $HOME & folder"""
    shutil.copytree(repository / "scripts", folder / "scripts")
    (folder / "aws.env").write_text("ECR_REPOSITORY=team/model\n")
    (tmp_path / "tools").mkdir()
    for tool in ("aws", "docker"):
        (tmp_path / "tools" / tool).write_text(TOOL)
        (tmp_path / "tools" / tool).chmod(0o755)
    return folder


def call(
    project: Path, script: str, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a script from another folder, with no setting in the environment but the given ones."""
    tools = f"{project.parent / 'tools'}{os.pathsep}{os.environ['PATH']}"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECR_", "KEY"))}
    return subprocess.run(
        [project / "scripts" / script, *arguments],
        cwd=project.parent,
        env=clean | {"PATH": tools} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def printed(project: Path, script: str, *arguments: str, **env: str) -> str:
    done = call(project, script, *arguments, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


FORMS = {
    "plain": ("KEY=value\n", "value"),
    "empty": ("KEY=\n", ""),
    "absent": ("OTHER=x\n", ""),
    "commented out": ("# KEY=x\n#KEY=x\n", ""),
    "other keys": ("MY_KEY=x\nKEYS=x\nKEY=value\nKEY_2=x\n", "value"),
    "comments and blank lines": ("# Settings\n\n  # more\nKEY=value\n\n", "value"),
    "comment behind": ("KEY=value # as agreed\n", "value"),
    "comment instead of a value": ("KEY= # none yet\n", ""),
    "number sign inside": ("KEY=val#ue\n", "val#ue"),
    "export": ("export KEY=value\n", "value"),
    "indented": ("\t KEY=value\n", "value"),
    "spaces": ("KEY = value \t\n", "value"),
    "inner space": ("KEY=two words\n", "two words"),
    "double quotes": ('KEY="value"\n', "value"),
    "single quotes": ("KEY='value'\n", "value"),
    "quotes with spaces": ("export KEY = ' two words ' # c\n", " two words "),
    "quoted number sign": ('KEY="a # b"\n', "a # b"),
    "other quotes inside": ("KEY='a \"b\"'\n", 'a "b"'),
    "empty quotes": ("KEY=''\n", ""),
    "equals sign": ("KEY=a=b\n", "a=b"),
    "Windows line ends": ('OTHER=x\r\nKEY="value"\r\n', "value"),
    "byte order mark": ("\ufeffKEY=value\nOTHER=x\n", "value"),
    "plain with Windows line ends": ("KEY=value\r\nOTHER=x\r\n", "value"),
    "no last line end": ("OTHER=x\nKEY=value", "value"),
    "duplicate": ("KEY=first\nOTHER=x\nKEY=last\n", "last"),
    "duplicate without a value": ("KEY=first\nKEY=\n", ""),
    "nothing is expanded": ("KEY=$HOME/`id`/$(id)/*\\n\n", "$HOME/`id`/$(id)/*\\n"),
    "an option of echo": ("KEY=-n\n", "-n"),
}


@pytest.mark.parametrize(("text", "value"), FORMS.values(), ids=FORMS)
def test_a_setting_is_read_in_every_form(project: Path, text: str, value: str) -> None:
    (project / "aws.env").write_text(text, encoding="utf-8", newline="")
    assert printed(project, "setting.sh", "KEY") == f"{value}\n"


@pytest.mark.parametrize("line", ['KEY="value', "KEY='value\"", 'KEY="a"b', "KEY='it's'"])
def test_quotes_that_do_not_match_are_an_error(project: Path, line: str) -> None:
    (project / "aws.env").write_text(f"OTHER=value\n{line}\n")
    done = call(project, "setting.sh", "KEY")
    assert done.returncode != 0
    assert "KEY" in done.stderr
    assert done.stdout == ""
    assert printed(project, "setting.sh", "OTHER") == "value\n"


def test_the_environment_wins_unless_it_is_empty(project: Path) -> None:
    (project / "aws.env").write_text("KEY=file\n")
    assert printed(project, "setting.sh", "KEY", KEY="environment") == "environment\n"
    assert printed(project, "setting.sh", "KEY", KEY="") == "file\n"


def test_without_a_file_only_the_environment_counts(project: Path) -> None:
    (project / "aws.env").unlink()
    assert printed(project, "setting.sh", "KEY", "KEY_2", KEY_2="value") == "\nvalue\n"


def test_several_settings_are_printed_one_per_line(project: Path) -> None:
    (project / "aws.env").write_text("KEY_2=two\nKEY_1=one\n")
    assert printed(project, "setting.sh", "KEY_1", "KEY", "KEY_2") == "one\n\ntwo\n"


def test_what_aws_env_does_not_set_is_read_from_image_env(project: Path) -> None:
    (project / "image.env").write_text("KEY_1=image\nKEY_2=image\nKEY_3=image\n")
    (project / "aws.env").write_text("KEY_1=aws\nKEY_2=\n")
    keys = ("KEY_1", "KEY_2", "KEY_3", "KEY_4")
    assert printed(project, "setting.sh", *keys) == "aws\nimage\nimage\n\n"
    assert printed(project, "setting.sh", "KEY_3", KEY_3="environment") == "environment\n"
    (project / "aws.env").unlink()
    assert printed(project, "setting.sh", "KEY_1") == "image\n"


WRITTEN = {
    "plain": ("# c\n\nKEY=old\nOTHER=x\n", "# c\n\nKEY=new\nOTHER=x\n"),
    "empty": ("KEY=\nOTHER=x\n", "KEY=new\nOTHER=x\n"),
    "absent": ("# KEY=old\nOTHER=x\n", "# KEY=old\nOTHER=x\nKEY=new\n"),
    "no last line end": ("OTHER=x", "OTHER=x\nKEY=new\n"),
    "comment": ("KEY=old # as agreed\n", "KEY=new # as agreed\n"),
    "comment only": ("KEY= # none yet\n", "KEY=new # none yet\n"),
    "quotes": ("export KEY = 'old'  # c\n", "export KEY = 'new'  # c\n"),
    "Windows line ends": ("KEY=old\r\nOTHER=x\r\n", "KEY=new\r\nOTHER=x\r\n"),
    "duplicates": ("KEY=1\nOTHER=x\n  KEY=2\n", "KEY=new\nOTHER=x\n  KEY=new\n"),
    "other lines": ("A='x\nKEY=old\n\\n $HOME `id`\n", "A='x\nKEY=new\n\\n $HOME `id`\n"),
}


@pytest.mark.parametrize(("before", "after"), WRITTEN.values(), ids=WRITTEN)
def test_a_setting_is_written_where_it_stands(project: Path, before: str, after: str) -> None:
    (project / "aws.env").write_text(before, newline="")
    printed(project, "setting.sh", "KEY=new")
    assert (project / "aws.env").read_bytes().decode() == after
    assert printed(project, "setting.sh", "KEY") == "new\n"
    assert not list(project.glob("aws.env?*"))


@pytest.mark.parametrize("before", ["", "KEY=old # c\n", "KEY='old'\n", 'KEY="old" # c\n'])
@pytest.mark.parametrize(
    "value",
    ["", "two words", " around ", "a # b", "#1", "'quoted'", 'a "b"', "it's", '"', "\\n$b `c`"],
)
def test_what_was_written_is_read_back(project: Path, before: str, value: str) -> None:
    (project / "aws.env").write_text(f"\ufeff{before}OTHER=x\n", encoding="utf-8")
    printed(project, "setting.sh", f"KEY={value}")
    assert printed(project, "setting.sh", "KEY", "OTHER") == f"{value}\nx\n"
    assert (project / "aws.env").read_text().count("# c") == before.count("# c")


@pytest.mark.parametrize("value", ["'\"", "two\nlines", 'it\'s # "it"'])
def test_what_could_not_be_read_back_is_rejected(project: Path, value: str) -> None:
    (project / "aws.env").write_text("KEY=old\n")
    done = call(project, "setting.sh", f"KEY={value}")
    assert done.returncode != 0
    assert "KEY" in done.stderr
    assert (project / "aws.env").read_text() == "KEY=old\n"


def test_a_setting_of_the_image_is_written_where_it_stands(project: Path) -> None:
    (project / "image.env").write_text("# Image\nKEY=\n")
    (project / "aws.env").write_text("OTHER=x\n")
    printed(project, "setting.sh", "KEY=new", "KEY_2=new")
    assert (project / "image.env").read_text() == "# Image\nKEY=new\n"
    assert (project / "aws.env").read_text() == "OTHER=x\nKEY_2=new\n"


@pytest.mark.parametrize(
    ("text", "env", "region"),
    [
        ("AWS_REGION='eu-west-1' # ours\r\n", {"AWS_DEFAULT_REGION": "x"}, "eu-west-1"),
        ("AWS_REGION=eu-west-1\n", {"AWS_REGION": "eu-west-3"}, "eu-west-3"),
        ("AWS_REGION=\n", {"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ("", {}, "eu-central-1"),
    ],
    ids=["aws.env", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS configuration"],
)
def test_the_region_is_the_first_that_is_set(
    project: Path, text: str, env: dict[str, str], region: str
) -> None:
    (project / "aws.env").write_text(text, newline="")
    assert printed(project, "region.sh", **env) == f"{region}\n"


def git(project: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@localhost")
    command = ["git", *identity, "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, cwd=project, check=True, stdout=subprocess.PIPE).stdout.decode()


@pytest.fixture
def commit(project: Path) -> str:
    """The commit of a project from which an image can be built."""
    (project / "aws.env").write_text("ECR_REPOSITORY = 'team/model' # c\nAWS_REGION=eu-west-1\n")
    (project / ".python-version").write_text("3.13\n")
    (project / ".dockerignore").write_text("*\n!scripts\n")
    (project / "Dockerfile").touch()
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Start")
    return git(project, "rev-parse", "HEAD").strip()


def docker_calls(project: Path) -> list[str]:
    log = project.parent / "tools" / "docker.log"
    return log.read_text().splitlines() if log.exists() else []


def test_scripts_work_in_a_folder_of_any_name(project: Path, commit: str) -> None:
    """The image is built and tagged, with a docker that logs how it is called."""
    assert printed(project, "stamp.sh") == f"{commit}\n"
    image, registry = f"team/model:{commit}", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    assert printed(project, "build.sh").splitlines()[-1] == image
    address = printed(project, "tag.sh", ECR_REGISTRY=registry).splitlines()[-1]
    assert address == f"{registry}/{image}"
    calls = docker_calls(project)
    assert f"--tag {image} " in calls[0]
    assert calls[-1] == f"tag {image} {address}"


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("text", ["3.12", "3.12\r\n", " 3.12 \n", "3.12\n3.13\n"])
def test_the_image_has_the_python_of_the_first_line(project: Path, text: str) -> None:
    (project / ".python-version").write_text(text, newline="")
    printed(project, "build.sh")
    assert "BASE_IMAGE=python:3.12-slim " in docker_calls(project)[0]


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("text", [None, "", "\n", "\n3.13\n", "pypy3.11\n", "3\n", "3.13 3.12\n"])
def test_a_version_of_python_that_cannot_be_read_is_an_error(
    project: Path, text: str | None
) -> None:
    (project / ".python-version").unlink()
    if text is not None:
        (project / ".python-version").write_text(text)
    done = call(project, "build.sh")
    assert done.returncode == 1
    assert ".python-version" in done.stderr
    assert "BASE_IMAGE" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert docker_calls(project) == []
    (project / "image.env").write_text("BASE_IMAGE=own:1\n")
    printed(project, "build.sh")
    assert "BASE_IMAGE=own:1 " in docker_calls(project)[0]


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize(
    "line", ["SYSTEM_PACKAGE=git", "base_image=own:1", "MY_BASE_IMAGE=own:1", "BASE_IMAGE own:1"]
)
def test_a_line_that_would_be_ignored_is_an_error(project: Path, line: str) -> None:
    (project / "image.env").write_text(f"# Image\nBASE_IMAGE=own:1\n{line}\n")
    done = call(project, "build.sh")
    assert done.returncode == 1
    assert line in done.stderr
    for key in ("BASE_IMAGE", "SYSTEM_PACKAGES", "BASE_PACKAGES"):
        assert key in done.stderr
    assert docker_calls(project) == []


@pytest.mark.usefixtures("commit")
def test_comments_blank_lines_and_export_are_allowed(project: Path) -> None:
    text = "\ufeff# Image\n\n  # more\n \nexport BASE_IMAGE = own:1 # c\nBASE_PACKAGES="
    (project / "image.env").write_text(text, encoding="utf-8", newline="\r\n")
    printed(project, "build.sh")
    assert "BASE_IMAGE=own:1 " in docker_calls(project)[0]


@pytest.mark.parametrize("name", ["aws.env", "image.env"])
@pytest.mark.parametrize("setting", ["KEY", "KEY=new"])
def test_a_folder_instead_of_a_file_is_an_error(project: Path, name: str, setting: str) -> None:
    (project / name).unlink(missing_ok=True)
    (project / name).mkdir()
    done = call(project, "setting.sh", setting)
    assert done.returncode == 1
    assert done.stderr.startswith(name)
    assert len(done.stderr.splitlines()) == 1

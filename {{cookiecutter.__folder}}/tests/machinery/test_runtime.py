import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.__package_name }} import runtime
from {{ cookiecutter.__package_name }}.runtime import Host, JobError

NAMES = ["a.csv", "b.csv", "c/d.csv"]
SECONDS = 60
"""After which a job that should have ended is taken for one that hangs."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for ``/opt/ml``."""
    path = tmp_path / "ml"
    (path / "config").mkdir(parents=True)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(path))
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in NAMES:
        file = tmp_path / "input" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path / "input"


def configure(
    base: Path,
    hosts: list[str],
    current: str,
    distribution: Mapping[str, str] | None = None,
    name: str = "some-job",
) -> None:
    """Write what SageMaker tells a host: the hosts' names, and how each input is distributed."""
    resources = {"current_host": current, "hosts": hosts}
    inputs = [
        {"InputName": path, "S3Input": {"LocalPath": path, "S3DataDistributionType": kind}}
        for path, kind in (distribution or {}).items()
    ]
    job = {"ProcessingJobName": name, "ProcessingInputs": inputs}
    (base / "config").mkdir(parents=True, exist_ok=True)
    (base / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    (base / "config" / "processingjobconfig.json").write_text(json.dumps(job))


# Hosts


def test_outside_sagemaker_there_is_one_host() -> None:
    assert runtime.this_host() == Host(name="algo-1", index=0, count=1)


def test_hosts_agree_on_their_order(base: Path) -> None:
    configure(base, ["algo-2", "algo-3", "algo-1"], "algo-3")
    host = runtime.this_host()
    assert (host.name, host.index, host.count) == ("algo-3", 2, 3)


@pytest.mark.parametrize("count", range(1, 9))
def test_hosts_share_replicated_files(files: Path, count: int) -> None:
    shares = [Host(index=index, count=count).files(files, "*.csv") for index in range(count)]
    assert sorted(file for share in shares for file in share) == [files / name for name in NAMES]


def test_a_host_keeps_all_files_of_an_input_that_was_distributed(base: Path, files: Path) -> None:
    configure(base, ["algo-1", "algo-2"], "algo-2", {str(files): "ShardedByS3Key"})
    assert runtime.this_host().files(files, "*.csv") == [files / name for name in NAMES]


def test_no_file_is_an_error_unless_other_hosts_have_files(base: Path, tmp_path: Path) -> None:
    configure(base, ["algo-1", "algo-2"], "algo-2", {str(tmp_path): "ShardedByS3Key"})
    assert runtime.this_host().files(tmp_path, "*.csv") == []
    with pytest.raises(JobError, match=str(tmp_path)):
        Host(count=2).files(tmp_path, "*.csv")
    with pytest.raises(JobError, match=str(tmp_path)):
        Host().files(tmp_path, "*.csv")


# Option types


@pytest.mark.parametrize("text", ["0", "1", "-0.1", "inf", "nan"])
def test_fraction_rejects(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        runtime.fraction(text)


def test_an_existing_dir_may_be_empty(tmp_path: Path) -> None:
    assert runtime.existing_dir(str(tmp_path)) == tmp_path


def test_a_missing_folder_and_a_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(argparse.ArgumentTypeError, match="does not exist"):
        runtime.existing_dir(str(tmp_path / "missing"))
    with pytest.raises(argparse.ArgumentTypeError, match="is a file"):
        runtime.existing_dir(str(tmp_path / "file"))


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A file and folders of every kind."""
    for name in ("alone/a.csv", "several/a.csv", "several/b.csv", "nested/below/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed" / "below").mkdir(parents=True)
    (tmp_path / "mixed" / "a.csv").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("file")
    return tmp_path


def test_an_existing_file_is_a_file_or_alone_in_its_folder(places: Path) -> None:
    for name, found in (("file", "file"), ("link", "link"), ("alone", "alone/a.csv")):
        assert runtime.existing_file(str(places / name)) == places / found


def test_what_is_not_one_file_is_told_apart(places: Path) -> None:
    reasons = {
        "missing": "does not exist",
        "empty": "is an empty folder",
        "several": r"more than one file \(a.csv, b.csv\)",
        "mixed": r"more than one file \(a.csv, below\)",
        "nested": "holds the folder below",
        "pipe": "neither a file nor a folder",
    }
    for name, reason in reasons.items():
        with pytest.raises(argparse.ArgumentTypeError, match=f"{name}' .*{reason}.*: name "):
            runtime.existing_file(str(places / name))


def test_an_input_without_files_is_not_one_in_which_no_file_matches(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with pytest.raises(JobError, match="is empty: name"):
        Host().files(tmp_path, "*.csv")
    (tmp_path / "below" / "a.txt").touch()
    with pytest.raises(JobError, match=r"no file matches \*\.csv; it holds below/a\.txt"):
        Host().files(tmp_path, "*.csv")


# Secrets


@pytest.mark.parametrize(
    "name",
    [
        *("api_token", "--hf-token", "TOKEN", "accessToken", "AUTHTOKEN", "refresh_tokens"),
        *("PASSWORD", "DB_PASSWD", "userPassword", "pwd", "SSH_PASSPHRASE", "passcode"),
        *("client_secret", "SECRETS", "AWS_CREDENTIALS", "credential_file", "AUTHORIZATION"),
        *("access_key_id", "PRIVATE_KEY", "--2fa_key", "apiKey", "APIKEY", "signing.keys", "key"),
    ],
)
def test_secrets_are_recognised_by_name(name: str) -> None:
    assert runtime.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("seed", "max_tokens", "token_count", "--num-tokens", "maxTokens", "TOKEN_LIMIT"),
        *("TOKENIZERS_PARALLELISM", "tokenizer", "key_column", "sortKey", "keep", "monkey"),
        *("keyword", "compass", "bypass_checks", "author"),
    ],
)
def test_other_names_are_not_taken_for_secrets(name: str) -> None:
    assert not runtime.is_secret(name)


@pytest.fixture
def actions() -> list[argparse.Action]:
    parser = runtime.JobParser("a job")
    parser.add_argument("--seed", type=int)
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-k", "--api_token", nargs="*")
    parser.add_argument("--login", dest="password")
    parser.add_argument("--2fa_key")
    parser.add_argument("--keep")
    return parser.actions


COMMANDS = [
    ("--seed 1 --verbose", "--seed 1 --verbose"),
    ("--seed -1 -v", "--seed -1 -v"),
    ("data --seed=1", "data --seed=1"),
    ("--api_token S3NT --seed 1", "--api_token *** --seed 1"),
    ("--api_token=S3NT --seed=1", "--api_token=*** --seed=1"),
    ("--api_token S3NT S3NT -v", "--api_token *** *** -v"),
    ("--api_token -1S3NT", "--api_token ***"),
    ("--api_token=-S=3NT", "--api_token=***"),
    ("--login S3NT", "--login ***"),
    ("-k S3NT", "-k ***"),
    ("-kS3NT", "-k***"),
    ("-k=S3NT", "-k=***"),
    ("-vkS3NT", "-vk***"),
    ("--api_tokn S3NT --seed 1", "--api_tokn *** --seed 1"),
    ("--lgin=S3NT", "--lgin=***"),
    ("-j S3NT S3NT", "-j *** ***"),
    ("-jS3NT", "-j***"),
    ("-seed S3NT", "-seed ***"),
    ("--2fa_key=S3NT", "--2fa_key=***"),
    ("-keep=S3NT", "-k***"),
]


@pytest.mark.parametrize(("typed", "shown"), COMMANDS)
def test_secrets_are_hidden_in_a_command_line(
    actions: list[argparse.Action], typed: str, shown: str
) -> None:
    assert runtime.hide_secrets(typed.split(), actions) == shown.split()
    message = f"unrecognized arguments: {typed}"
    hidden = runtime.hide_in_message(message, typed.split(), actions)
    assert hidden == f"unrecognized arguments: {shown}"


@pytest.mark.parametrize("phrase", ["-my S3NT phrase", "--my S3NT phrase", "-my=S3NT phrase"])
def test_a_value_may_begin_with_a_dash(actions: list[argparse.Action], phrase: str) -> None:
    words = ["--login", phrase, "--seed", "1"]
    assert runtime.hide_secrets(words, actions) == ["--login", "***", "--seed", "1"]
    (login, seed) = runtime.split_options(words, actions)
    assert (login.name, login.values, seed.values) == ("--login", [phrase], ["1"])


def test_a_misspelt_option_is_hidden_with_blanks_in_its_value(
    actions: list[argparse.Action],
) -> None:
    words = ["--seed", "1", "--lgin=my S3NT", "-login=my S3NT", "-jmy S3NT"]
    shown = ["--seed", "1", "--lgin=***", "-l***", "-j***"]
    assert runtime.hide_secrets(words, actions) == shown
    assert runtime.hide_secrets(words[2:], actions) == shown[2:]


def test_options_are_split_as_argparse_reads_them(actions: list[argparse.Action]) -> None:
    words = ["-vkS3NT", "--api_token", "a", "-1", "--seed=1"]
    flagged, several, seed = runtime.split_options(words, actions)
    assert (flagged.flags, flagged.name, flagged.value) == (["-v"], "-k", "S3NT")
    assert (several.name, several.value, several.values) == ("--api_token", None, ["a", "-1"])
    assert (seed.name, seed.value, seed.is_secret) == ("--seed", "1", False)
    assert flagged.is_secret
    assert several.is_secret


def test_secrets_are_hidden_as_argparse_quotes_them(actions: list[argparse.Action]) -> None:
    words = ["--login", "it's\\S3NT", "--api_token", "it's", ""]
    message = f"argument --login: invalid choice: {words[1]!r}"
    hidden = runtime.hide_in_message(message, words, actions)
    assert hidden == 'argument --login: invalid choice: "***"'


# Records


def write_output(
    folder: Path, files: Mapping[str, str], host: str = "algo-1", hosts: int = 1, **other: object
) -> None:
    """Write what one host of a job publishes."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    digests = {
        name: {"size": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for name, text in files.items()
    }
    record = {"job": "prepare", "host": host, "hosts": hosts, "files": digests, **other}
    name = "job.json" if hosts == 1 else f"job-{host}.json"
    (folder / name).write_text(json.dumps(record))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The complete output of a job with one host."""
    folder = tmp_path / "output"
    write_output(folder, {"part/a": "some", "part/b": "rows", "metrics": "0.9"})
    return folder


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The complete output of a job with two hosts, of which both wrote ``schema``."""
    folder = tmp_path / "shared"
    write_output(folder, {"part/a": "some", "schema": "x"}, "algo-1", hosts=2)
    write_output(folder, {"part/b": "rows", "schema": "x"}, "algo-2", hosts=2)
    return folder


def check_listing(folder: Path) -> None:
    """Check an output by what a listing of S3 tells."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    files = {name: path for name, path in paths.items() if path.is_file()}
    records = {name: files.pop(name).read_bytes() for name in runtime.record_names(files)}
    runtime.check_listing(records, {name: path.stat().st_size for name, path in files.items()})


def test_a_complete_output_is_accepted(output: Path, shared: Path) -> None:
    for folder in (output, shared):
        assert runtime.finished_output(str(folder)) == folder
        check_listing(folder)


def test_an_empty_output_with_a_record_is_complete(tmp_path: Path) -> None:
    write_output(tmp_path, {})
    assert runtime.finished_output(str(tmp_path)) == tmp_path


def remove(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def write(name: str, text: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return spoil


FAULTS = {
    "missing file": (remove("part/b"), "part/b"),
    "additional file": (write("part/c", "more"), "part/c"),
    "additional hidden file": (write("below/.c", ""), "below/.c"),
    "truncated file": (write("part/a", "som"), "part/a"),
    "no record": (remove("job.json"), "job.json"),
    "record cut off": (write("job.json", '{"hosts": 1, "fil'), "job.json"),
    "record without files": (write("job.json", '{"hosts": 1}'), "job.json"),
    "record of something else": (write("job.json", "[1]"), "job.json"),
    "record under another name": (
        lambda folder: void((folder / "job.json").rename(folder / "job-algo-1.json")),
        "job-algo-1.json",
    ),
    "second record": (
        lambda folder: write_output(folder, {}, "algo-2", hosts=2),
        "job-algo-2.json",
    ),
}
SHARED_FAULTS = {
    "missing host": (remove("job-algo-2.json", "part/b"), "job-algo-1.json"),
    "missing file of a host": (remove("part/b"), "part/b"),
    "no record": (remove("job-algo-1.json", "job-algo-2.json"), "job.json"),
    "hosts of different jobs": (
        lambda folder: write_output(folder, {"part/b": "rows"}, "algo-2", hosts=2, commit="abc"),
        "job-algo-2.json",
    ),
    "more hosts than the job had": (
        lambda folder: write_output(folder, {}, "algo-3", hosts=2),
        "job-algo-3.json",
    ),
    "file of two hosts": (
        lambda folder: write_output(folder, {"part/a": "none"}, "algo-2", hosts=2),
        "part/a",
    ),
}


def void(_: object) -> None:
    pass


@pytest.mark.parametrize(
    ("fixture", "spoil", "named"),
    [
        pytest.param(fixture, *fault, id=f"{fixture}-{name}")
        for fixture, faults in (("output", FAULTS), ("shared", SHARED_FAULTS))
        for name, fault in faults.items()
    ],
)
def test_an_incomplete_output_is_rejected(
    request: pytest.FixtureRequest, fixture: str, spoil: Callable[[Path], None], named: str
) -> None:
    folder = request.getfixturevalue(fixture)
    spoil(folder)
    with pytest.raises(argparse.ArgumentTypeError) as rejected:
        runtime.finished_output(str(folder))
    assert named in str(rejected.value)
    with pytest.raises(JobError) as listed:
        check_listing(folder)
    assert named in str(listed.value)


def test_a_change_that_keeps_the_size_is_rejected(output: Path) -> None:
    (output / "part" / "a").write_text("same")
    with pytest.raises(argparse.ArgumentTypeError, match="part/a"):
        runtime.finished_output(str(output))


def test_a_link_to_a_folder_is_rejected(output: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (output / "part" / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(argparse.ArgumentTypeError, match="part/c"):
        runtime.finished_output(str(output))


def test_a_folder_is_no_finished_output_and_neither_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("missing", "does not exist"), ("file", "is a file"), (".", "job.json")):
        with pytest.raises(argparse.ArgumentTypeError, match=reason):
            runtime.finished_output(str(tmp_path / name))


def test_names_of_records() -> None:
    others = ["a", "job", "jobs.json", "my-job.json", "below/job.json", "job-algo-1.json.bak"]
    records = ["job-algo-1.json", "job.json"]
    assert runtime.record_names([*others, *records]) == records


def test_digest_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert runtime.digest_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


# Jobs

JOB = """
import errno, fcntl, os, pathlib, signal, sys, time
from {{ cookiecutter.__package_name }} import runtime

def meet(jobs):
    "Wait until so many jobs are running."
    folder = pathlib.Path(os.environ["MEETING"])
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < jobs:
        time.sleep(0.01)

def unsupported(*args, **kwargs):
    raise OSError(errno.ENOTSUP, "not supported")

def run(args):
    output = args.output_path
    BODY

parser = runtime.JobParser("a job")
add = parser.add_argument
add("--input_path", type=runtime.finished_output, default=pathlib.Path(os.environ["INPUT"]))
add("--more_path", type=runtime.existing_dir, default=pathlib.Path(runtime.INPUT, "more"))
add("--output_path", type=pathlib.Path, default=runtime.OUTPUT + "/x", help="out")
add("--api_token", default="none", help="a secret")
SETUP
runtime.main(parser, run)
"""
RESULT = "(output / 'result').write_text('new')"

Done = subprocess.CompletedProcess[str]


class Jobs:
    """Starts jobs whose only output is ``out``."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.meeting = folder / "meeting"
        self.meeting.mkdir()
        self._folder = folder

    def start(
        self,
        body: str,
        *options: str,
        setup: str = "",
        stderr: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a job that runs these statements; the output is ``output`` for them."""
        program = Path(tempfile.mkdtemp(dir=self._folder)) / "job.py"
        program.write_text(JOB.replace("BODY", body).replace("SETUP", setup))
        meeting = {"MEETING": str(self.meeting), "INPUT": str(self._folder / "none")}
        return subprocess.Popen(
            [sys.executable, str(program), "--output_path", str(self.out), *options],
            env={**os.environ, **meeting, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def run(
        self, body: str, *options: str, setup: str = "", env: Mapping[str, str] | None = None
    ) -> Done:
        return finish(self.start(body, *options, setup=setup, env=env))

    def contents(self) -> dict[str, str]:
        """Every file of the output but the records, hidden ones included."""
        paths = [path for path in self.out.rglob("*") if not path.is_dir()]
        files = {path.relative_to(self.out).as_posix(): path.read_text() for path in paths}
        return {
            name: text for name, text in files.items() if name not in runtime.record_names(files)
        }

    def record(self, name: str = "job.json") -> Any:
        return json.loads((self.out / name).read_text())


def finish(process: subprocess.Popen[str]) -> Done:
    try:
        stdout, stderr = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


@contextmanager
def running(jobs: Jobs) -> Iterator[None]:
    """Run a job that has written a file, and that goes on and completes when the context ends."""
    process = jobs.start("(output / 'first').write_text('first'); meet(2)")
    try:
        while not list(jobs.meeting.iterdir()):
            assert process.poll() is None
        yield
    finally:
        (jobs.meeting / "go on").touch()
        assert finish(process).returncode == 0


def test_record_lists_the_files_of_the_output(jobs: Jobs) -> None:
    body = "(output / 'below').mkdir(); (output / 'below/a').write_text('some'); " + RESULT
    assert jobs.run(body).returncode == 0
    assert jobs.contents() == {"below/a": "some", "result": "new"}
    sha256 = hashlib.sha256(b"some").hexdigest()
    assert jobs.record()["files"]["below/a"] == {"size": 4, "sha256": sha256}
    assert sorted(jobs.record()["files"]) == ["below/a", "result"]
    assert runtime.finished_output(str(jobs.out)) == jobs.out


def test_record_names_commit_and_hides_secrets(jobs: Jobs) -> None:
    done = jobs.run(RESULT, "--api_token", "hunter2", env={"SOURCE_COMMIT": "abc"})
    assert done.returncode == 0
    assert jobs.record()["commit"] == "abc"
    assert "hunter2" not in done.stdout + json.dumps(jobs.record())


def test_an_option_is_secret_by_any_of_its_names(jobs: Jobs) -> None:
    setup = 'add("--password", "--login", dest="entry")'
    done = jobs.run(RESULT, "--login", "hunter2", setup=setup)
    assert done.returncode == 0
    assert "hunter2" not in done.stdout + json.dumps(jobs.record())


def test_record_names_the_versions_of_what_was_imported(jobs: Jobs) -> None:
    assert jobs.run("import six, tqdm, xdist").returncode == 0
    versions = jobs.record()["versions"]
    assert versions.pop("python") == platform.python_version()
    assert versions == {name: importlib.metadata.version(name) for name in versions}
    assert {"pytest-xdist", "six", "tqdm"} <= set(versions)
    assert not {"hypothesis", "boto3", "types-tqdm"} & set(versions)


def test_record_names_the_version_that_is_found_first(tmp_path: Path, jobs: Jobs) -> None:
    hidden = tmp_path / "later" / "tqdm-0.0.dist-info"
    hidden.mkdir(parents=True)
    (hidden / "METADATA").write_text("Metadata-Version: 2.1\nName: tqdm\nVersion: 0.0\n")
    (hidden / "RECORD").write_text("tqdm/__init__.py,,\n")
    assert jobs.run(f"import tqdm; sys.path.append({str(hidden.parent)!r})").returncode == 0
    assert jobs.record()["versions"]["tqdm"] == importlib.metadata.version("tqdm")


def test_the_last_message_of_a_job_that_succeeds(jobs: Jobs) -> None:
    *others, last = jobs.run(RESULT).stdout.splitlines()
    assert last.partition(" INFO ")[2].startswith(runtime.FINISHED)
    assert not any(runtime.FINISHED in line for line in others)
    assert runtime.FINISHED not in jobs.run("raise runtime.JobError('no')").stdout


def test_help_gives_an_option_its_default(jobs: Jobs) -> None:
    text = " ".join(jobs.run(RESULT, "--help").stdout.split())
    assert "out (default: /opt/ml/processing/output/x)" in text
    assert "a secret (default: none)" in text


# Inputs that are one file

LOOKUP = """add("--lookup_path", type=runtime.existing_file, default=DEFAULT)"""
"""An input that takes one file."""


@pytest.mark.parametrize("kind", ["str", "pathlib.Path"])
def test_a_default_folder_becomes_the_file_in_it(
    jobs: Jobs, places: Path, base: Path, kind: str
) -> None:
    setup = LOOKUP.replace("DEFAULT", f"{kind}({str(places / 'alone')!r})")
    assert jobs.run("assert args.lookup_path.name == 'a.csv'", setup=setup).returncode == 0
    assert jobs.record()["arguments"]["lookup_path"] == str(places / "alone" / "a.csv")
    (places / "alone" / "b.csv").touch()
    done = jobs.run(RESULT, setup=setup)
    assert done.returncode == 2
    assert "argument --lookup_path" in done.stderr
    assert "more than one file" in (base / "output" / "message").read_text()


def test_an_optional_file_may_be_missing(jobs: Jobs, places: Path) -> None:
    setup = LOOKUP.replace("DEFAULT", f"pathlib.Path({str(places / 'missing')!r})")
    assert jobs.run("assert not args.lookup_path.exists()", setup=setup).returncode == 0
    setup = LOOKUP.replace("DEFAULT", repr(str(places / "missing")))
    assert "does not exist" in jobs.run(RESULT, setup=setup).stderr


def test_an_output_that_holds_an_input_of_one_file_is_rejected(jobs: Jobs) -> None:
    jobs.out.mkdir()
    (jobs.out / "a.csv").touch()
    setup = LOOKUP.replace("DEFAULT", "runtime.INPUT + '/lookup'")
    done = jobs.run(RESULT, "--lookup_path", str(jobs.out / "a.csv"), setup=setup)
    assert done.returncode == 2
    assert "contains --lookup_path" in done.stderr


# Inputs that other jobs have written


@pytest.mark.parametrize("by_default", [False, True])
def test_an_incomplete_input_is_rejected_before_the_job_runs(
    base: Path, jobs: Jobs, output: Path, *, by_default: bool
) -> None:
    given = [] if by_default else ["--input_path", str(output)]
    (output / "part" / "a").write_text("same")
    done = jobs.run("print('running')", *given, env={"INPUT": str(output)})
    assert done.returncode == 2
    assert "argument --input_path" in done.stderr
    assert "part/a" in done.stderr
    assert "part/a" in (base / "output" / "message").read_text()
    assert "running" not in done.stdout
    assert not jobs.out.exists()


def test_a_complete_input_is_accepted(jobs: Jobs, output: Path) -> None:
    assert jobs.run(RESULT, "--input_path", str(output)).returncode == 0


def test_an_unreadable_input_is_rejected(jobs: Jobs, output: Path) -> None:
    (output / "part" / "a").unlink()
    (output / "part" / "a").symlink_to("a")
    done = jobs.run(RESULT, "--input_path", str(output))
    assert done.returncode == 2
    assert "part/a" in done.stderr


def test_unknown_options_are_reported_before_inputs_are_read(jobs: Jobs, output: Path) -> None:
    (output / "job.json").unlink()
    done = jobs.run(RESULT, "--input_path", str(output), "--outputs", "x")
    assert done.returncode == 2
    assert "unrecognized arguments: --outputs" in done.stderr


# Outputs


@pytest.mark.parametrize("name", ["old", "job.json", "job-algo-2.json", ".incomplete-algo-2"])
def test_an_output_that_holds_files_is_rejected_and_left_alone(
    base: Path, jobs: Jobs, name: str
) -> None:
    jobs.out.mkdir()
    (jobs.out / name).write_text("old")
    done = jobs.run("print('running')")
    assert done.returncode == 2
    assert "argument --output_path" in done.stderr
    assert name in done.stderr
    assert name in (base / "output" / "message").read_text()
    assert "running" not in done.stdout
    assert [path.name for path in jobs.out.iterdir()] == [name]
    assert (jobs.out / name).read_text() == "old"


def test_an_output_is_written_once(jobs: Jobs) -> None:
    assert jobs.run(RESULT).returncode == 0
    before = {path: path.read_bytes() for path in jobs.out.iterdir()}
    assert jobs.run(RESULT).returncode == 2
    assert {path: path.read_bytes() for path in jobs.out.iterdir()} == before


def test_an_empty_folder_is_accepted_and_a_file_is_not(jobs: Jobs) -> None:
    jobs.out.touch()
    done = jobs.run(RESULT)
    assert done.returncode == 2
    assert "is a file" in done.stderr
    jobs.out.unlink()
    jobs.out.mkdir()
    assert jobs.run(RESULT).returncode == 0


@pytest.mark.parametrize(("output", "input_"), [(".", "data"), ("data", "."), ("data", "data")])
def test_an_output_that_overlaps_with_an_input_is_rejected(
    tmp_path: Path, jobs: Jobs, output: str, input_: str
) -> None:
    (tmp_path / "all" / "data").mkdir(parents=True)
    jobs.out = tmp_path / "all" / output
    done = jobs.run(RESULT, "--more_path", str(tmp_path / "all" / input_))
    assert done.returncode == 2
    assert "argument --output_path" in done.stderr
    assert "--more_path" in done.stderr.splitlines()[-1]


FOREIGN = "(output.parent / 'NAME').write_text('theirs')"


def test_what_appears_in_an_output_meanwhile_stays(jobs: Jobs) -> None:
    assert jobs.run(f"{FOREIGN.replace('NAME', 'notes')}; {RESULT}").returncode == 0
    assert jobs.contents() == {"notes": "theirs", "result": "new"}


@pytest.mark.parametrize("name", ["result", "job.json", "job-algo-2.json"])
@pytest.mark.parametrize("setup", ["", "os.link = unsupported"])
def test_publication_does_not_replace_a_file(jobs: Jobs, name: str, setup: str) -> None:
    body = f"(output / 'a').touch(); {RESULT}; {FOREIGN.replace('NAME', name)}"
    done = jobs.run(body, setup=setup)
    assert done.returncode == 1
    assert f"out/{name}" in done.stdout
    assert {path.name: path.read_text() for path in jobs.out.iterdir()} == {name: "theirs"}


OTHER_WRITER = """
def write_first(event, arguments):
    if event in ("os.link", "os.rename") and not os.path.exists(arguments[1]):
        pathlib.Path(arguments[1]).write_text('theirs')
sys.addaudithook(write_first)
"""


def test_a_file_that_appears_in_the_last_moment_is_not_replaced(jobs: Jobs) -> None:
    done = jobs.run(RESULT, setup=OTHER_WRITER)
    assert done.returncode == 1
    assert "out/result" in done.stdout
    assert jobs.contents() == {"result": "theirs"}


@pytest.mark.parametrize("below", ["result/a", "result/a/b"])
def test_publication_does_not_replace_a_file_by_a_folder(jobs: Jobs, below: str) -> None:
    body = f"os.renames(__file__, output / '{below}'); {FOREIGN.replace('NAME', 'result')}"
    assert jobs.run(body).returncode == 1
    assert jobs.contents() == {"result": "theirs"}


def test_a_file_system_without_hard_links(jobs: Jobs) -> None:
    assert jobs.run(RESULT, setup="os.link = unsupported").returncode == 0
    assert jobs.contents() == {"result": "new"}
    assert runtime.finished_output(str(jobs.out)) == jobs.out


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("(output / 'job.json').touch()", "out/job.json"),
        ("(output / 'job-algo-7.json').touch()", "out/job-algo-7.json"),
        ("(output / 'link').symlink_to('result')", "out/link"),
        ("(output / 'link').symlink_to('/')", "out/link"),
        ("os.mkfifo(output / 'pipe')", "out/pipe"),
        ("(output / '\\udcff').touch()", r"\udcff"),
    ],
)
def test_what_cannot_be_published_fails_the_job(jobs: Jobs, body: str, named: str) -> None:
    done = jobs.run(f"{RESULT}; {body}")
    assert done.returncode == 1
    assert named in done.stdout
    assert list(jobs.out.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise runtime.JobError('input/x.csv: no column y')", "input/x.csv: no column y"),
        ("raise runtime.JobError('a\\nb\\x1b[31m\\udcff')", r"a\nb\x1b[31m\udcff"),
        ("raise OSError(errno.ENOSPC, 'full', '/some/file')", "/some/file: full"),
        ("raise OSError(errno.ENOSPC, 'full')", "OUT: full"),
        (
            "open('/nowhere/at/all')",
            "FileNotFoundError at job.py:LINE: /nowhere/at/all: No such file or directory",
        ),
        ("os.write(99, b'')", "OSError at job.py:LINE: Bad file descriptor"),
        ("raise MemoryError", "out of memory"),
        ("sys.exit(0)", "SystemExit at job.py:LINE"),
        ("raise ValueError('row 7 holds 42')", "ValueError at job.py:LINE"),
        ("raise runtime.JobError('ü' * 5000)", "ü" * (runtime.MESSAGE_BYTES // 2)),
    ],
)
def test_a_failure_leaves_its_reason_and_no_output(
    base: Path, jobs: Jobs, body: str, message: str
) -> None:
    done = jobs.run(f"{RESULT}; {body}")
    line = JOB[: JOB.index("BODY")].count("\n") + 1
    message = message.replace("OUT", str(jobs.out)).replace("LINE", str(line))
    assert done.returncode == 1
    assert message in done.stdout
    assert (base / "output" / "message").read_text(encoding="utf-8") == message
    assert list(jobs.out.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("import json; json.loads('{\"row\": hunter2}')", "JSONDecodeError"),
        ("runtime.Host().files(None, '*.csv')", "TypeError"),
        ("{'a': 1}['hunter2']", "KeyError"),
    ],
    ids=["in a library", "in runtime", "in the job"],
)
def test_a_bug_is_reported_with_its_place_in_the_repository(
    base: Path, jobs: Jobs, body: str, error: str
) -> None:
    done = jobs.run(body)
    line = JOB[: JOB.index("BODY")].count("\n") + 1
    assert done.returncode == 1
    assert (base / "output" / "message").read_text() == f"{error} at job.py:{line}"
    assert "Traceback (most recent call last)" in done.stdout
    assert f"{error}: " in done.stdout


def test_a_bug_in_a_handler_is_reported_with_its_place(base: Path, tmp_path: Path) -> None:
    package = tmp_path / "src" / "{{ cookiecutter.__package_name }}"
    shutil.copytree(Path(runtime.__file__).parent, package / "runtime")
    (package / "__init__.py").touch()
    (package / "handler.py").write_text("import json\n\ndef run(text):\n    json.loads(text)\n")
    job = tmp_path / "entrypoints" / "job.py"
    job.parent.mkdir()
    handler = "from {{ cookiecutter.__package_name }} import handler"
    job.write_text(JOB.replace("BODY", f"{handler}; handler.run('hunter2')").replace("SETUP", ""))
    done = subprocess.run(
        [sys.executable, str(job), "--output_path", str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src"), "INPUT": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (base / "output" / "message").read_text() == "JSONDecodeError at handler.py:4"
    assert "Traceback" in done.stdout


def test_a_rejected_option_names_paths_as_in_the_container(base: Path, jobs: Jobs) -> None:
    done = jobs.run(RESULT, "--more_path", str(base / "processing" / "input" / "more"))
    assert done.returncode == 2
    message = (base / "output" / "message").read_text()
    for text in (message, done.stderr):
        assert "'/opt/ml/processing/input/more' does not exist" in text
        assert str(base) not in text


def test_no_message_names_a_staging_folder(base: Path, jobs: Jobs) -> None:
    done = jobs.run("import logging; logging.info(output); (output / 'no/file').touch()")
    assert done.returncode == 1
    assert f" INFO {jobs.out}\n" in done.stdout
    assert f"{jobs.out}/no/file: " in (base / "output" / "message").read_text()
    assert ".incomplete-" not in done.stdout


@pytest.mark.parametrize("secret", [["--api_token", "hunter2"], ["--api_tokn=hunter2"]])
def test_a_wrong_option_leaves_its_reason(base: Path, jobs: Jobs, secret: list[str]) -> None:
    done = jobs.run(RESULT, *secret, "--foo", "hunter2")
    assert done.returncode == 2
    message = (base / "output" / "message").read_text()
    assert "--foo" in message
    assert "hunter2" not in message + done.stdout + done.stderr


# Signals and kills

NATIVE = (
    "import hashlib; print('native\\n', end='', flush=True); "
    "hashlib.pbkdf2_hmac('md5', b'', b'', 2**31 - 1)"
)
"""Takes minutes, in which Python runs no signal handler in the main thread."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_stops_in_the_middle_of_native_code_and_publishes_nothing(
    base: Path, jobs: Jobs, number: signal.Signals
) -> None:
    process = jobs.start(f"{RESULT}; {NATIVE}")
    assert process.stdout
    while "native" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    assert number.name in finish(process).stdout
    assert process.returncode == 128 + number
    assert (base / "output" / "message").read_text() == f"stopped by {number.name}"
    assert list(jobs.out.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_works_on_several_items_stops_at_once(
    jobs: Jobs, number: signal.Signals
) -> None:
    body = f"""def work(item):
        (output / str(item)).mkdir()
        {NATIVE}
    list(runtime.parallel(work, range(9), min_seconds=0))"""
    process = jobs.start(body, env={"JOB_CPUS": "3"})
    assert process.stdout
    working = 0
    while working < 3:
        assert process.poll() is None
        working += process.stdout.readline().count("native")
    process.send_signal(number)
    # The end of the output: no process that has inherited it is left.
    assert ("stopped by" in finish(process).stdout) == (number == signal.SIGTERM)
    if number == signal.SIGTERM:
        assert process.returncode == 128 + number
        assert list(jobs.out.iterdir()) == []


def test_a_failure_does_not_wait_for_other_items(base: Path, jobs: Jobs) -> None:
    body = f"""def work(item):
        (output / str(item)).touch()
        if item:
            {NATIVE}
        while not (output / "1").exists(): pass
        raise runtime.JobError("the first item cannot be used")
    list(runtime.parallel(work, range(9), min_seconds=0))"""
    done = jobs.run(body, env={"JOB_CPUS": "2"})
    assert done.returncode == 1
    assert (base / "output" / "message").read_text() == "the first item cannot be used"
    assert list(jobs.out.iterdir()) == []


STOPPED = """os.kill(os.getpid(), signal.SIGTERM)
    while output.exists(): pass
    raise runtime.JobError("the output is gone")"""


def test_a_signal_is_the_reason_for_whatever_it_breaks(base: Path, jobs: Jobs) -> None:
    done = jobs.run(STOPPED)
    assert done.returncode == 128 + signal.SIGTERM
    assert (base / "output" / "message").read_text() == "stopped by SIGTERM"
    assert "the output is gone" not in done.stdout


CHILDREN = {
    "program": """import subprocess
    child = subprocess.Popen(["sleep", "30"])
    child.send_signal(NUMBER)
    assert child.wait() == -NUMBER""",
    "fork": """import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[30])
    child.start()
    os.kill(child.pid, NUMBER)
    child.join()
    assert child.exitcode == -NUMBER""",
    "fork in a thread": """import threading
    ended = []
    def in_thread():
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        os.kill(child, NUMBER)
        ended.append(os.waitpid(child, 0)[1])
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert ended == [NUMBER]""",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("child", CHILDREN)
def test_a_signal_to_a_child_ends_the_child_only(
    jobs: Jobs, child: str, number: signal.Signals
) -> None:
    body = CHILDREN[child].replace("NUMBER", str(int(number)))
    done = jobs.run(f"{body}\n    {RESULT}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs.contents() == {"result": "new"}


def test_a_child_is_stopped_at_any_moment_without_the_job(jobs: Jobs) -> None:
    body = """import warnings
    warnings.simplefilter("ignore")
    for _ in range(300):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        os.kill(child, signal.SIGTERM)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM"""
    assert jobs.run(f"{body}\n    {RESULT}").returncode == 0


def test_other_signals_keep_their_handlers(jobs: Jobs) -> None:
    body = """received = []
    signal.signal(signal.SIGUSR1, lambda *_: received.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    while not received: pass"""
    assert jobs.run(f"{body}\n    {RESULT}").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_publication_changes_nothing(jobs: Jobs, number: signal.Signals) -> None:
    setup = f"""
class Last:
    def __del__(self, kill=os.kill, job=os.getpid()):
        kill(job, {int(number)})
last = Last()
"""
    assert jobs.run(RESULT, setup=setup).returncode == 0
    assert jobs.contents() == {"result": "new"}


def test_a_job_whose_parent_blocks_signals_is_stopped(jobs: Jobs) -> None:
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"
    assert jobs.run(STOPPED, setup=block).returncode == 128 + signal.SIGTERM


def test_a_rejected_command_line_leaves_the_handling_of_signals_alone() -> None:
    def handling() -> object:
        numbers = (signal.SIGTERM, signal.SIGINT)
        return [*map(signal.getsignal, numbers), signal.pthread_sigmask(signal.SIG_BLOCK, [])]

    before = handling()
    with pytest.raises(SystemExit):
        runtime.main(runtime.JobParser("a job"), lambda _: None, ["--wrong"])
    assert handling() == before


def test_the_next_job_replaces_what_a_killed_one_left(jobs: Jobs) -> None:
    body = "(output / 'below').mkdir(); (output / 'below/half').touch(); (output / 'a').touch()"
    killed = jobs.run(f"{body}; os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.returncode == -signal.SIGKILL
    assert jobs.contents()
    assert jobs.run(RESULT).returncode == 0
    assert jobs.contents() == {"result": "new"}
    assert runtime.finished_output(str(jobs.out)) == jobs.out


KILLS = """
import os, pathlib, signal, sys
from {{ cookiecutter.__package_name }} import runtime

root = sys.argv[1]
parser = runtime.JobParser("a job")
for name in ("model", "scores"):
    parser.add_argument(f"--{name}", type=pathlib.Path, default=f"{runtime.OUTPUT}/{name}")

def publish_and_die(steps):
    "Publish two outputs, but be killed before the file operation after so many."

    def count(event, arguments):
        nonlocal steps
        if any(root in str(argument) for argument in arguments):
            steps -= 1
            if steps < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def run(args):
        for output in (args.model, args.scores):
            (output / "below").mkdir()
            for name in ("a", "below/b"):
                (output / name).write_text("new")
        sys.addaudithook(count)

    folder = f"{root}/{steps:03}"
    runtime.main(parser, run, ["--model", f"{folder}/model", "--scores", f"{folder}/scores"])
    os._exit(0)

for steps in range(1000):
    child = os.fork()
    if not child:
        publish_and_die(steps)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != -signal.SIGKILL:
        sys.exit(code)
"""


def test_a_kill_at_any_step_of_the_publication_leaves_no_partial_result(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLS, str(tmp_path)], check=True, timeout=10 * SECONDS)
    states = set()
    for output in sorted(tmp_path.glob("*/*")):
        published = list(output.glob("[!.]*"))
        try:
            runtime.finished_output(str(output))
        except argparse.ArgumentTypeError:
            states.add("partial" if published else "nothing")
        else:
            states.add("complete")
            assert (output / "a").read_text() == (output / "below" / "b").read_text() == "new"
    assert states == {"nothing", "partial", "complete"}
    for output in max(tmp_path.iterdir()).iterdir():
        runtime.finished_output(str(output))
        assert sorted(path.name for path in output.iterdir()) == ["a", "below", "job.json"]


# Several jobs, and several hosts of one job, on one output folder


def test_of_two_jobs_on_one_output_the_second_is_rejected(jobs: Jobs) -> None:
    with running(jobs):
        second = jobs.run(RESULT)
        assert second.returncode == 2
        assert "argument --output_path: another job is writing" in second.stderr
    assert jobs.contents() == {"first": "first"}
    assert runtime.finished_output(str(jobs.out)) == jobs.out


def test_of_many_jobs_that_start_at_once_one_runs(jobs: Jobs) -> None:
    body = "(output / str(os.getpid())).touch(); time.sleep(0.2)"
    processes = [jobs.start(body) for _ in range(8)]
    codes = sorted(finish(process).returncode for process in processes)
    assert codes == [0] + [2] * 7
    assert len(jobs.contents()) == 1
    assert runtime.finished_output(str(jobs.out)) == jobs.out


NO_LOCKS = "fcntl.flock = unsupported"


def test_a_file_system_without_locks(jobs: Jobs) -> None:
    assert jobs.run(RESULT, setup=NO_LOCKS).returncode == 0
    assert jobs.contents() == {"result": "new"}


def test_without_locks_a_killed_job_cannot_be_told_from_a_running_one(jobs: Jobs) -> None:
    body = "(output / 'a').touch(); print('left', output); sys.stdout.flush()"
    killed = jobs.run(f"{body}; os.kill(os.getpid(), signal.SIGKILL)", setup=NO_LOCKS)
    left = Path(killed.stdout.split()[-1])
    done = jobs.run(RESULT, setup=NO_LOCKS)
    assert done.returncode == 2
    assert f"remove {left}" in done.stderr
    shutil.rmtree(left)
    assert jobs.run(RESULT, setup=NO_LOCKS).returncode == 0


class Hosts:
    """Starts the hosts of a job, whose output folder is one for all of them."""

    def __init__(self, jobs: Jobs, folder: Path) -> None:
        self._jobs = jobs
        self._folder = folder

    def start(
        self, body: str, host: int, hosts: int = 2, name: str = "some-job"
    ) -> subprocess.Popen[str]:
        base = self._folder / f"{name}-{host}"
        configure(base, [f"algo-{each + 1}" for each in range(hosts)], f"algo-{host}", name=name)
        return self._jobs.start(body, env={"SAGEMAKER_BASE_DIR": str(base)})


@pytest.fixture
def hosts(jobs: Jobs, tmp_path: Path) -> Hosts:
    return Hosts(jobs, tmp_path)


TABLE = """(output / "part").mkdir()
    (output / "part" / runtime.this_host().name).write_text("new")"""
TABLES = {"part/algo-1": "new", "part/algo-2": "new"}


@pytest.mark.parametrize("body", [f"meet(2)\n    {TABLE}", f"{TABLE}\n    meet(2)"])
def test_hosts_that_share_an_output_folder(jobs: Jobs, hosts: Hosts, body: str) -> None:
    processes = [hosts.start(body, host) for host in (1, 2)]
    assert [finish(process).returncode for process in processes] == [0, 0]
    assert jobs.contents() == TABLES
    assert [jobs.record(f"job-algo-{host}.json")["hosts"] for host in (1, 2)] == [2, 2]
    assert list(jobs.record("job-algo-2.json")["files"]) == ["part/algo-2"]
    assert runtime.finished_output(str(jobs.out)) == jobs.out


def test_a_host_that_starts_when_another_has_finished(jobs: Jobs, hosts: Hosts) -> None:
    assert finish(hosts.start(TABLE, 1)).returncode == 0
    with pytest.raises(argparse.ArgumentTypeError, match=r"job-algo-1\.json"):
        runtime.finished_output(str(jobs.out))
    assert finish(hosts.start(TABLE, 2)).returncode == 0
    assert jobs.contents() == TABLES
    assert runtime.finished_output(str(jobs.out)) == jobs.out


def test_a_host_that_fails_leaves_the_others_alone(jobs: Jobs, hosts: Hosts) -> None:
    processes = [
        hosts.start(f"{TABLE}\n    meet(2)", 1),
        hosts.start(f"{TABLE}\n    meet(2)\n    raise runtime.JobError('no')", 2),
    ]
    assert [finish(process).returncode for process in processes] == [0, 1]
    assert jobs.contents() == {"part/algo-1": "new"}
    with pytest.raises(argparse.ArgumentTypeError, match=r"job-algo-1\.json"):
        runtime.finished_output(str(jobs.out))


def test_hosts_that_write_one_name_replace_nothing(jobs: Jobs, hosts: Hosts) -> None:
    body = "(output / 'same').write_text(runtime.this_host().name)"
    assert finish(hosts.start(body, 1)).returncode == 0
    done = finish(hosts.start(body, 2))
    assert done.returncode == 1
    assert "out/same" in done.stdout
    assert jobs.contents() == {"same": "algo-1"}


@pytest.mark.parametrize("earlier", [("other-job", 1, 2), ("some-job", 1, 3), ("some-job", 2, 2)])
def test_a_host_rejects_an_output_with_the_record_of_another_job(
    jobs: Jobs, hosts: Hosts, earlier: tuple[str, int, int]
) -> None:
    name, host, count = earlier
    assert finish(hosts.start(TABLE, host, count, name)).returncode == 0
    before = jobs.contents()
    done = finish(hosts.start(TABLE, 2))
    assert done.returncode == 2
    assert f"job-algo-{host}.json" in done.stderr
    assert jobs.contents() == before


@pytest.mark.parametrize("name", ["old", "job.json"])
def test_a_host_rejects_files_that_no_other_host_can_have_written(
    jobs: Jobs, hosts: Hosts, name: str
) -> None:
    jobs.out.mkdir()
    (jobs.out / name).touch()
    done = finish(hosts.start(TABLE, 2))
    assert done.returncode == 2
    assert name in done.stderr


# CPUs

PRINT = "print(*(os.environ[name] for name in ('POLARS_MAX_THREADS', 'OMP_NUM_THREADS')))"


def test_libraries_use_as_many_threads_as_the_job_has_cpus(jobs: Jobs) -> None:
    unset = {"POLARS_MAX_THREADS": "", "OMP_NUM_THREADS": ""}
    clear = "; ".join(f"os.environ.pop({name!r})" for name in unset)
    done = jobs.run(f"{PRINT}; {RESULT}", setup=clear, env={"JOB_CPUS": "3", **unset})
    assert "\n3 3\n" in done.stdout


def test_a_setting_of_a_library_is_kept(jobs: Jobs) -> None:
    done = jobs.run(PRINT, env={"JOB_CPUS": "3", "POLARS_MAX_THREADS": "5", "OMP_NUM_THREADS": "6"})
    assert "\n5 6\n" in done.stdout


def test_a_wrong_number_of_cpus_is_reported(base: Path, jobs: Jobs) -> None:
    assert jobs.run(RESULT, env={"JOB_CPUS": "many"}).returncode == 1
    assert "JOB_CPUS" in (base / "output" / "message").read_text()
    assert not jobs.out.exists()


# Progress

PROGRESS = "for _ in runtime.progress(range(300), 'rows'): time.sleep(0.001)"


def test_progress_is_plain_lines_where_there_is_no_terminal(jobs: Jobs) -> None:
    done = jobs.run(PROGRESS)
    lines = [line for line in done.stdout.splitlines() if "rows" in line]
    assert "300/300" in lines[-1]
    assert "\r" not in done.stdout + done.stderr


def test_progress_is_a_bar_on_a_terminal(jobs: Jobs) -> None:
    terminal, job_side = pty.openpty()
    with jobs.start(PROGRESS, stderr=job_side) as process:
        os.close(job_side)
        assert process.stdout
        assert "rows" not in process.stdout.read()
    assert process.returncode == 0
    assert b"\r" in os.read(terminal, 4096)
    os.close(terminal)


READING = """import pathlib
    file = pathlib.Path(os.environ["READ"])
    def read(_):
        with file.open("rb", buffering=0) as stream:
            while stream.read(100_000): time.sleep(0.05)
    list(runtime.read_progress(map(read, [file]), [file]))"""


def test_progress_within_a_file(jobs: Jobs, tmp_path: Path) -> None:
    """Most of the file is read before the first result is there."""
    file = tmp_path / "large"
    file.write_bytes(bytes(2_000_000))
    setup = "runtime.progress_bar._LOG_SECONDS = 0.1"
    done = jobs.run(READING, setup=setup, env={"READ": str(file)})
    assert done.returncode == 0, done.stdout
    percents = [int(text) for text in re.findall(r"read: +(\d+)%", done.stdout)]
    assert percents == sorted(percents)
    assert percents[0] == 0
    assert percents[-1] == 100
    if sys.platform == "linux":
        assert any(0 < percent < 100 for percent in percents)
    assert "2.00M/2.00M" in done.stdout


def test_progress_ends_with_an_error(jobs: Jobs, tmp_path: Path) -> None:
    body = READING.replace("read(_):", "read(_):\n        raise runtime.JobError('not a table')")
    file = tmp_path / "large"
    file.write_bytes(bytes(1000))
    done = jobs.run(body, env={"READ": str(file)})
    assert done.returncode == 1
    assert "100%" not in done.stdout

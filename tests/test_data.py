"""Each job against each kind of data that it cannot use: it fails, says why, and leaves nothing.

Jobs run as a user runs them, but for one thing: each is a fork of a process that has imported the
libraries already, so that the whole matrix takes seconds.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import run

pytestmark = pytest.mark.slow

SENTINEL = "S3NT1NEL"
"""Stands in the data and in the environment, and may stand in no message."""

DRIVER = """
import json, os, runpy, sys
import polars, sklearn.ensemble, sklearn.metrics, sklearn.model_selection

for line in sys.stdin:
    case = json.loads(line)
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output = case["output"]
        left = os.listdir(output) if os.path.isdir(output) else []
        print(json.dumps([code, left]), flush=True)
        continue
    for number in (1, 2):
        os.dup2(os.open(case["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.update(case["env"])
    sys.argv = case["argv"]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as exit:
        os._exit(exit.code)
    os._exit(0)
"""

PARTS = """
import polars as pl, sys
from pathlib import Path

good, out = pl.read_parquet(sys.argv[1]), Path(sys.argv[2])
for name, table in {
    "header only": good.clear(),
    "other columns": good.select("species", other="body_mass_g"),
    "other types": good.with_columns(body_mass_g=pl.lit("S3NT1NEL")),
    "one class only": good.with_columns(species=pl.lit("S3NT1NEL")),
    "good": good.with_columns(species=pl.lit("S3NT1NEL")),
}.items():
    table.write_parquet(out / name, compression="uncompressed")
"""


@dataclass(frozen=True)
class Ground:
    """Where jobs run: good inputs, a full disk, and the process that starts them."""

    project: Path
    good: Path
    parts: Path
    full: Path
    driver: subprocess.Popen[str]

    def start(self, **case: Any) -> tuple[int, list[str]]:
        assert self.driver.stdin
        assert self.driver.stdout
        print(json.dumps(case), file=self.driver.stdin, flush=True)
        code, left = json.loads(self.driver.stdout.readline())
        return code, left


@pytest.fixture(scope="module")
def ground(installed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    good, parts, full = (tmp_path_factory.mktemp(name) for name in ("good", "parts", "full"))
    python = str(installed_project / ".venv" / "bin" / "python")
    source = {"PYTHONPATH": str(installed_project / "src")}
    shutil.copytree(installed_project / "data" / "penguins", good / "raw")
    for job, *options in (
        ("preprocess", "--input_path", good / "raw", "--output_path", good / "dataset"),
        ("tune", "--input_path", good / "dataset", "--output_path", good / "trials", "--trials=1"),
    ):
        run(installed_project, python, f"entrypoints/{job}.py", *map(str, options), **source)
    part = good / "dataset" / "train" / "2007.parquet"
    run(installed_project, python, "-c", PARTS, str(part), str(parts))
    with subprocess.Popen(
        [*ordinary_user(full), python, "-u", "-c", DRIVER],
        cwd=installed_project,
        env=os.environ | source,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        yield Ground(installed_project, good, parts, full, driver)


def ordinary_user(full: Path) -> list[str]:
    """What starts a program as one whom permissions bind, and for whom ``full`` is a full disk."""
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    capabilities = "-dac_override,-dac_read_search"
    script = (
        f'mount -t tmpfs -o size=4k none "$0" && exec setpriv --bounding-set={capabilities} "$@"'
    )
    return ["unshare", "--mount", *own, "sh", "-c", script, str(full)]


Spoil = Callable[[Ground, Path], None]
"""Puts something unusable in the place of a file of the input."""


def content(data: bytes) -> Spoil:
    return lambda _, file: void(file.write_bytes(data))


def part(name: str, change: Callable[[bytes], bytes] = bytes) -> Spoil:
    return lambda ground, file: void(file.write_bytes(change((ground.parts / name).read_bytes())))


def void(_: object) -> None:
    pass


def nothing(_: Ground, __: Path) -> None:
    pass


def unreadable(_: Ground, file: Path) -> None:
    file.touch(mode=0)


def unreadable_folder(_: Ground, file: Path) -> None:
    file.parent.chmod(0)


def a_folder(_: Ground, file: Path) -> None:
    file.mkdir()


def a_loop(_: Ground, file: Path) -> None:
    file.symlink_to(file.name)


def unwritable(_: Ground, output: Path) -> None:
    output.mkdir(mode=0o500)


def a_file(_: Ground, output: Path) -> None:
    output.touch()


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what the user has to be told."""

    spoil: Spoil
    reason: str
    alone: bool = False
    """Whether good files would make the input usable."""
    name: str = "below/bad"
    names: str = "bad"
    exit_code: int = 1
    others_speak: bool = False
    """Whether a library prints lines of its own, which cannot be had without."""


HEADER = "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year"
ROW = f"{SENTINEL},Dream,39.1,18.7,181,3750,male,2007"
TRIAL = {"trial": 0, "accuracy": 0.5, "parameters": {"max_depth": SENTINEL}}
STRANGE = "below/a b\nc\x1b[31m"
STRANGE_SHOWN = r"a b\nc\x1b[31m"


def csv(*rows: str) -> Spoil:
    return content("\n".join([HEADER, *rows, ""]).encode())


def trial(**changed: object) -> Spoil:
    return content(json.dumps(TRIAL | changed).encode())


CSV = {
    "no file": Fault(nothing, "no file matches", alone=True, names="raw"),
    "empty file": Fault(content(b""), "not a CSV table"),
    "header only": Fault(csv(), "none of 0 rows", alone=True, names="raw"),
    "other columns": Fault(content(f"a,b\n{SENTINEL},2\n".encode()), "no column species"),
    "other types": Fault(csv(ROW.replace("39.1", SENTINEL)), "types in column bill_length_mm"),
    "truncated": Fault(content(f"{HEADER}\n{ROW}\n{ROW[:20]}".encode()), "cut off"),
    "broken Parquet": Fault(part("good"), "no column species"),  # under the name of a CSV table
    "0 usable rows": Fault(
        csv(ROW.replace("39.1", "NA"), ROW.replace("39.1", "inf")),
        "none of 2 rows",
        alone=True,
        names="raw",
    ),
    "one class only": "a split needs no second class; tune and train refuse it",
    "not UTF-8": Fault(content(f"{HEADER}\nAd\xe9lie{ROW}\n".encode("latin-1")), "not a CSV table"),
}
PARQUET = {
    "no file": Fault(nothing, "no rows", alone=True, names="train"),
    "empty file": Fault(content(b""), "not a table written by preprocess"),
    "header only": Fault(part("header only"), "no rows", alone=True, names="train"),
    "other columns": Fault(part("other columns"), "not a table written by preprocess"),
    "other types": Fault(part("other types"), "other types"),
    "truncated": Fault(
        part("good", lambda data: data[: len(data) // 2]), "not a table written by preprocess"
    ),
    "broken Parquet": Fault(
        part("good", lambda data: data[:100] + bytes(300) + data[400:]),
        "not a table written by preprocess",
        others_speak=True,
    ),
    "0 usable rows": "preprocess writes usable rows only: the same as a header only",
    "one class only": Fault(part("one class only"), "", alone=True, names="dataset"),
    "not UTF-8": Fault(
        part("good", lambda data: data.replace(b"S3NT", b"S3\xffT")),
        "not a table written by preprocess",
    ),
}
TRIALS = {
    "no file": Fault(nothing, "no trials", alone=True, names="trials"),
    "empty file": Fault(content(b""), "not a trial"),
    "header only": "JSON has no header",
    "other columns": Fault(content(b'{"score": "S3NT1NEL"}'), "not a trial"),
    "other types": Fault(trial(accuracy=SENTINEL), "not a trial"),
    "truncated": Fault(content(json.dumps(TRIAL).encode()[:-9]), "not a trial"),
    "broken Parquet": Fault(part("good"), "not a trial"),
    "0 usable rows": "a trial is no table",
    "one class only": "a trial is no table",
    "not UTF-8": Fault(content(b'{"trial": "S3NT1NEL\xff"}'), "not a trial"),
}
FILES = {
    "no permission": Fault(unreadable, "Permission denied"),
    "folder without permission": Fault(unreadable_folder, "Permission denied", names="below"),
    "strange name": Fault(content(b""), "not a", name=STRANGE, names=STRANGE_SHOWN),
    "name of bytes": Fault(content(b""), "name is not UTF-8", name="below/\udcff", names=r"\udcff"),
}
NOT_A_FILE = {
    "CSV": {
        "folder in its place": Fault(a_folder, "not a file"),
        "symlink loop": Fault(a_loop, "not a file"),
    },
    "Parquet": {
        "folder in its place": Fault(a_folder, "not a table written by preprocess"),
        "symlink loop": Fault(a_loop, "Too many levels of symbolic links"),
    },
    "trials": {
        "folder in its place": Fault(a_folder, "Is a directory"),
        "symlink loop": Fault(a_loop, "Too many levels of symbolic links"),
    },
}
OUTPUTS = {
    "full disk": Fault(nothing, "No space left on device", names="full"),
    "unwritable output": Fault(unwritable, "Permission denied", names="output"),
    "output is a file": Fault(a_file, "Not a directory", names="output"),
}


@dataclass(frozen=True)
class Input:
    """An input of a job, of which one file is spoilt."""

    job: str
    kind: str
    option: str
    folder: str
    side: str
    suffix: str


INPUTS = (
    Input("preprocess", "CSV", "--input_path", "raw", ".", ".csv"),
    Input("tune", "Parquet", "--input_path", "dataset", "train", ".parquet"),
    Input("train", "Parquet", "--input_path", "dataset", "train", ".parquet"),
    Input("train", "trials", "--trials_path", "trials", "trials", ".json"),
)
CONTENTS = {"CSV": CSV, "Parquet": PARQUET, "trials": TRIALS}
MATRIX = [
    pytest.param(each, fault, id=f"{each.job}-{each.kind}-{row}")
    for each in INPUTS
    for row, fault in {**CONTENTS[each.kind], **FILES, **NOT_A_FILE[each.kind]}.items()
    if isinstance(fault, Fault)
]


def command(ground: Ground, job: str, output: Path, *options: str) -> list[str]:
    given = dict(zip(options[::2], options[1::2], strict=True))
    if job == "tune":
        given["--trials"] = "2"
    source = ground.good / ("raw" if job == "preprocess" else "dataset")
    given = {"--input_path": str(source), "--output_path": str(output)} | given
    return [f"entrypoints/{job}.py", *(word for pair in given.items() for word in pair)]


def fails(
    ground: Ground, fault: Fault, folder: Path, argv: list[str], output: Path, names: str
) -> None:
    """Run a job that must fail, and look at all that it leaves."""
    base, log = folder / "ml", folder / "log"
    base.mkdir()
    env = {"SAGEMAKER_BASE_DIR": str(base), "TOKEN": SENTINEL}
    code, left = ground.start(argv=argv, env=env, log=str(log), output=str(output))
    lines = log.read_text(encoding="utf-8").splitlines()
    assert code == fault.exit_code, lines
    assert left == []
    stamped = [re.fullmatch(r"\S+ [\d:,]+ (INFO|ERROR) (.*)", line) for line in lines]
    assert all(stamped) or fault.others_speak, lines
    (reason,) = [line[2] for line in stamped if line and line[1] == "ERROR"]
    assert stamped[-1]
    assert stamped[-1][2] == reason
    assert fault.reason in reason
    assert names in reason
    assert "Traceback" not in "".join(lines)
    assert SENTINEL not in "".join(lines)
    message = (base / "output" / "message").read_bytes()
    assert message.decode() == reason.encode()[:1024].decode(errors="ignore")


@pytest.mark.parametrize(("input_", "fault"), MATRIX)
def test_data_that_cannot_be_used(
    ground: Ground, tmp_path: Path, input_: Input, fault: Fault
) -> None:
    folder = tmp_path / input_.folder
    shutil.copytree(ground.good / input_.folder, folder)
    side = folder / input_.side
    if fault.alone:
        for file in side.iterdir():
            file.unlink()
    bad = side / f"{fault.name}{input_.suffix}"
    bad.parent.mkdir()
    fault.spoil(ground, bad)
    output = tmp_path / "output"
    argv = command(ground, input_.job, output, input_.option, str(folder))
    try:
        fails(ground, fault, tmp_path, argv, output, fault.names)
    finally:
        bad.parent.chmod(0o700)


@pytest.mark.parametrize("job", ["preprocess", "tune", "train"])
@pytest.mark.parametrize("fault", OUTPUTS.values(), ids=OUTPUTS)
def test_an_output_that_cannot_be_written(
    ground: Ground, tmp_path: Path, job: str, fault: Fault
) -> None:
    output = (ground.full if fault.names == "full" else tmp_path) / "output"
    fault.spoil(ground, output)
    fails(ground, fault, tmp_path, command(ground, job, output), output, fault.names)

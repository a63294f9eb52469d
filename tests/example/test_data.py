"""Each job with each kind of data that it cannot use: it fails, says why, and leaves nothing."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import run

if TYPE_CHECKING:  # pytest loads it
    from jobs import Jobs

pytest_plugins = ["jobs"]
pytestmark = pytest.mark.slow

SENTINEL = "S3NT1NEL"
"""Is in the data and in the environment, and must not be in any message."""

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


Spoil = Callable[[Path, Path], None]
"""Writes something unusable to a path, given a folder of tables in Parquet."""


def content(data: bytes) -> Spoil:
    return lambda _, file: void(file.write_bytes(data))


def part(name: str, change: Callable[[bytes], bytes] = bytes) -> Spoil:
    return lambda parts, file: void(file.write_bytes(change((parts / name).read_bytes())))


def void(_: object) -> None:
    pass


def nothing(_: Path, __: Path) -> None:
    pass


def unreadable(_: Path, file: Path) -> None:
    file.touch(mode=0)


def unreadable_folder(_: Path, file: Path) -> None:
    file.parent.chmod(0)


def a_folder(_: Path, file: Path) -> None:
    file.mkdir()


def a_loop(_: Path, file: Path) -> None:
    file.symlink_to(file.name)


def unwritable(_: Path, output: Path) -> None:
    output.mkdir(mode=0o500)


def a_file(_: Path, output: Path) -> None:
    output.touch()


def an_old_file(_: Path, output: Path) -> None:
    output.mkdir()
    (output / "old").touch()


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what the user must be told."""

    spoil: Spoil
    reason: str
    alone: bool = False
    """Whether good files would make the input usable."""
    name: str = "below/bad"
    names: str = "bad"
    others_speak: bool = False
    """Whether a library prints lines of its own, which cannot be avoided."""
    unforeseen: bool = False
    """Whether no job has a message of its own for it, and the log shows where it was raised."""
    verifiable: bool = True
    """Whether the file can be compared with a record; if not, inputs that need one are rejected."""


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
    "no file": Fault(nothing, "is empty", alone=True, names="raw"),
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
    "other types": Fault(part("other types"), "different columns or types"),
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
    "no permission": Fault(unreadable, "Permission denied", verifiable=False),
    "folder without permission": Fault(
        unreadable_folder, "Permission denied", names="below", unforeseen=True, verifiable=False
    ),
    "strange name": Fault(content(b""), "not a", name=STRANGE, names=STRANGE_SHOWN),
    "name of bytes": Fault(
        content(b""),
        "name is not UTF-8",
        name="below/\udcff",
        names=r"\udcff",
        verifiable=False,
    ),
}
LOOP = Fault(a_loop, "Too many levels of symbolic links", verifiable=False)
NOT_A_FILE = {
    "CSV": {
        "folder instead": Fault(a_folder, "not a file"),
        "symlink loop": Fault(a_loop, "not a file"),
    },
    "Parquet": {
        "folder instead": Fault(a_folder, "not a table written by preprocess"),
        "symlink loop": LOOP,
    },
    "trials": {
        "folder instead": Fault(a_folder, "Is a directory", unforeseen=True),
        "symlink loop": LOOP,
    },
}
OUTPUTS = {
    "full disk": Fault(nothing, "No space left on device", names="full"),
    "unwritable output": Fault(unwritable, "Permission denied", names="output", unforeseen=True),
}
WRONG_OUTPUTS = {
    "output is a file": Fault(a_file, "is a file", names="output"),
    "output holds files": Fault(an_old_file, "already holds old", names="output"),
}


@dataclass(frozen=True)
class Input:
    """An input of a job, one file of which is unusable."""

    job: str
    kind: str
    option: str
    folder: str
    side: str
    suffix: str

    @property
    def has_record(self) -> bool:
        """Whether the job requires that another job has written the input."""
        return self.folder != "raw"


INPUTS = (
    Input("preprocess", "CSV", "input_path", "raw", ".", ".csv"),
    Input("tune", "Parquet", "input_path", "dataset", "train", ".parquet"),
    Input("train", "Parquet", "input_path", "dataset", "train", ".parquet"),
    Input("train", "trials", "trials_path", "trials", "trials", ".json"),
)
CONTENTS = {"CSV": CSV, "Parquet": PARQUET, "trials": TRIALS}
MATRIX = [
    pytest.param(each, fault, id=f"{each.job}-{each.kind}-{row}")
    for each in INPUTS
    for row, fault in {**CONTENTS[each.kind], **FILES, **NOT_A_FILE[each.kind]}.items()
    if isinstance(fault, Fault)
]


Damage = Callable[[Path, Path], str]
"""Makes an output incomplete, given one of its files, and returns what the message must name."""


def remove_a_file(output: Path, file: Path) -> str:
    file.unlink()
    return file.relative_to(output).as_posix()


def add_a_file(output: Path, file: Path) -> str:
    added = file.with_name(f"more{file.suffix}")
    shutil.copy(file, added)
    return added.relative_to(output).as_posix()


def truncate_a_file(output: Path, file: Path) -> str:
    file.write_bytes(file.read_bytes()[:-1])
    return file.relative_to(output).as_posix()


def change_a_byte(output: Path, file: Path) -> str:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return file.relative_to(output).as_posix()


def remove_a_host(output: Path, _: Path) -> str:
    record = json.loads((output / "job.json").read_text())
    (output / "job-algo-1.json").write_text(json.dumps(record | {"hosts": 2}))
    (output / "job.json").unlink()
    return "job-algo-1.json"


def remove_the_record(output: Path, _: Path) -> str:
    (output / "job.json").unlink()
    return "job.json"


def truncate_the_record(output: Path, _: Path) -> str:
    record = output / "job.json"
    record.write_bytes(record.read_bytes()[:-9])
    return record.name


DAMAGES = (
    remove_a_file,
    add_a_file,
    truncate_a_file,
    change_a_byte,
    remove_a_host,
    remove_the_record,
    truncate_the_record,
)


@dataclass(frozen=True)
class Good:
    """Inputs that the jobs accept, and the tables to make them unusable with."""

    folder: Path
    parts: Path

    def options(self, job: str) -> dict[str, object]:
        source = self.folder / ("raw" if job == "preprocess" else "dataset")
        return {"input_path": source} | ({"trials": 2} if job == "tune" else {})


@pytest.fixture(scope="module")
def good(jobs: "Jobs", installed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Good:
    folder, parts = jobs.raw.parent, tmp_path_factory.mktemp("parts")
    good = Good(folder, parts)
    for job, output in (("preprocess", "dataset"), ("tune", "trials")):
        jobs.run(job, folder / "ml", folder / output, **good.options(job))
    table = folder / "dataset" / "train" / "2007.parquet"
    python = str(installed_project / ".venv" / "bin" / "python")
    run(installed_project, python, "-c", PARTS, str(table), str(parts))
    return good


def fails(
    jobs: "Jobs", fault: Fault, job: str, folder: Path, output: Path, **options: object
) -> None:
    """Run a job that must fail, and check all that it leaves."""
    base = folder / "ml"
    base.mkdir()
    code, names = jobs.wait(jobs.start(job, base, output_path=output, **options), output)
    lines = (base / "log").read_text(encoding="utf-8").splitlines()
    assert code == 1, lines
    assert names == []
    stamped = [re.fullmatch(r"\S+ [\d:,]+ (INFO|ERROR) (.*)", line) for line in lines]
    (reason,) = [line[2] for line in stamped if line and line[1] == "ERROR"]
    assert fault.reason in reason
    assert fault.names in reason
    has_traceback = "Traceback" in "".join(lines)
    assert has_traceback is fault.unforeseen
    if not has_traceback:
        assert all(stamped) or fault.others_speak, lines
        assert stamped[-1]
        assert stamped[-1][2] == reason
    assert SENTINEL not in "".join(lines)
    message = (base / "output" / "message").read_bytes()
    assert message.decode() == reason.encode()[:1024].decode(errors="ignore")


def is_rejected(jobs: "Jobs", job: str, folder: Path, output: Path, **options: object) -> str:
    """Run a job that must be rejected before it starts, and return its message."""
    base = folder / "ml"
    base.mkdir()
    code, _ = jobs.wait(jobs.start(job, base, output_path=output, **options), output)
    log = (base / "log").read_text(encoding="utf-8")
    assert code == 2, log
    assert "Traceback" not in log
    assert SENTINEL not in log
    message = (base / "output" / "message").read_text(encoding="utf-8")
    assert message.removeprefix(f"{job}.py: ") in log.splitlines()[-1]
    return message


@pytest.mark.parametrize(("input_", "fault"), MATRIX)
def test_data_that_cannot_be_used(
    jobs: "Jobs", good: Good, tmp_path: Path, input_: Input, fault: Fault
) -> None:
    folder = tmp_path / input_.folder
    shutil.copytree(good.folder / input_.folder, folder)
    side = folder / input_.side
    if fault.alone:
        for file in side.iterdir():
            file.unlink()
    bad = side / f"{fault.name}{input_.suffix}"
    bad.parent.mkdir()
    if input_.has_record and not fault.verifiable:
        bad.touch()
        jobs.write_record(folder)
        bad.unlink()
    fault.spoil(good.parts, bad)
    if input_.has_record and fault.verifiable:
        jobs.write_record(folder)
    options = good.options(input_.job) | {input_.option: folder}
    output = tmp_path / "output"
    try:
        if fault.verifiable or not input_.has_record:
            fails(jobs, fault, input_.job, tmp_path, output, **options)
        else:
            message = is_rejected(jobs, input_.job, tmp_path, output, **options)
            assert f"argument --{input_.option}: " in message
            assert fault.reason in message
            assert fault.names in message
            assert not output.exists()
    finally:
        bad.parent.chmod(0o700)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    "input_",
    [input_ for input_ in INPUTS if input_.has_record],
    ids=lambda input_: f"{input_.job}-{input_.folder}",
)
def test_an_incomplete_input_is_rejected(
    jobs: "Jobs", good: Good, tmp_path: Path, input_: Input, damage: Damage
) -> None:
    folder = tmp_path / input_.folder
    shutil.copytree(good.folder / input_.folder, folder)
    named = damage(folder, sorted((folder / input_.side).iterdir())[0])
    options = good.options(input_.job) | {input_.option: folder}
    message = is_rejected(jobs, input_.job, tmp_path, tmp_path / "output", **options)
    assert f"argument --{input_.option}: " in message
    assert named in message
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("job", ["preprocess", "tune", "train"])
@pytest.mark.parametrize("fault", OUTPUTS.values(), ids=OUTPUTS)
def test_an_output_that_cannot_be_written(
    jobs: "Jobs", good: Good, tmp_path: Path, job: str, fault: Fault
) -> None:
    output = (jobs.full if fault.names == "full" else tmp_path) / "output"
    fault.spoil(good.parts, output)
    fails(jobs, fault, job, tmp_path, output, **good.options(job))


@pytest.mark.parametrize("job", ["preprocess", "tune", "train"])
@pytest.mark.parametrize("fault", WRONG_OUTPUTS.values(), ids=WRONG_OUTPUTS)
def test_a_wrong_output_is_rejected(
    jobs: "Jobs", good: Good, tmp_path: Path, job: str, fault: Fault
) -> None:
    output = tmp_path / "output"
    fault.spoil(good.parts, output)
    before = list(output.rglob("*"))
    message = is_rejected(jobs, job, tmp_path, output, **good.options(job))
    assert "argument --output_path: " in message
    assert fault.names in message
    assert fault.reason in message
    assert list(output.rglob("*")) == before

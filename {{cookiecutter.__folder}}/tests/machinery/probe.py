"""A small repository with one job that does what a test asks for."""

from pathlib import Path

import pytest

from repositories import make_repository

PROBE = '''\
"""Do what a test asks for."""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime


def build_parser():
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path", type=runtime.existing_dir, default=f"{runtime.INPUT}/some"
    )
    parser.add_argument(
        "--result_path", type=runtime.finished_output, default=Path(runtime.INPUT, "result")
    )
    parser.add_argument(
        "--lookup_path", type=runtime.existing_file, default=Path(runtime.INPUT, "lookup")
    )
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/seen")
    parser.add_argument("--do", nargs="*", default=[])
    parser.add_argument("--api_key", default="none")
    return parser


def run(args):
    host = runtime.this_host()
    files = sorted(str(path.relative_to(args.input_path)) for path in args.input_path.rglob("*.*"))
    seen = {"files": files, "env": dict(os.environ), "argv": sys.argv[1:]}
    seen["hosts"] = [host.name, host.index, host.count]
    if args.lookup_path.exists():
        seen["lookup"] = [args.lookup_path.name, args.lookup_path.read_text()]
    folder = args.output_path / "below"
    folder.mkdir()
    name = "seen" if "collide" in args.do else host.name
    (folder / f"{name}.json").write_text(json.dumps(seen))
    first = sorted(path for path in args.input_path.rglob("*.*"))[0] if files else None
    if "change" in args.do:
        first.write_text("changed")
    if "change lookup" in args.do:
        args.lookup_path.write_text("changed")
    if "remove" in args.do:
        first.unlink()
    if "log paths" in args.do:
        logging.info("reads %s, writes %s", args.input_path.resolve(), args.output_path.resolve())
    if "misspell" in args.do:
        (args.output_path / "below" / "nowhere" / "file").write_text("")
    if "fail" in args.do and host.index == host.count - 1:
        raise runtime.JobError("the last host failed")
    if "die" in args.do:
        os.kill(os.getpid(), signal.SIGKILL)
    if "child" in args.do:
        child = subprocess.Popen(["sleep", "600"])
        print("child", child.pid, flush=True)
    while "chatter" in args.do:
        print("chatter", flush=True)
        time.sleep(0.05)
    if "sleep" in args.do or "fail" in args.do:
        print("asleep", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''

WITHOUT_OUTPUTS = '''\
"""Print the names of the files."""

from {{ cookiecutter.__package_name }} import runtime


def build_parser():
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path", type=runtime.existing_dir, default=f"{runtime.INPUT}/some"
    )
    return parser


def run(args):
    print(*sorted(path.name for path in args.input_path.iterdir()))


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''


@pytest.fixture
def small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the job ``probe`` and a folder of data, which launch takes for its own."""
    root = make_repository(tmp_path / "it's \\a project", {"probe": PROBE}, monkeypatch)
    for name in ("1.csv", "2.csv", "below/3.csv"):
        (root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / name).write_text(name)
    return root

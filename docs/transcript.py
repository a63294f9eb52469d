"""Update ``docs/transcript.md``: run its commands in a terminal, and write what they print.

``make transcript`` does this in a new project. Instead of SageMaker, there is the emulator of the
tests, which runs jobs in containers of the project's image. The page is its own template:

- In a ``console`` block, a line after ``$`` is a command, which a ``\\`` at its end continues. The
  lines below it are its output.
- A ``diff`` block is an edit of the project, and is applied.
- After a comment ``close the terminal after: TEXT``, the terminal of the next command is closed
  once it has printed a line that begins with this text. Its job waits for an instance until its log
  is read in another terminal.

Everything else stays as it is. What differs from run to run is replaced: see ``Examples``.
"""

import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import account
import emulator
import registry
from conftest import COOKIECUTTER, TEMPLATE, run
from terminal import Terminal

PAGE = Path(__file__).with_suffix(".md")

COLUMNS = 120
"""The width of the terminal, in characters."""

_BLOCK = re.compile(
    r"^```(?P<language>console|diff)\n(?P<text>.*?)^```$", flags=re.DOTALL | re.MULTILINE
)
_CLOSE = re.compile(r"<!-- close the terminal after: (.+?) -->\s*$")
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n", flags=re.MULTILINE)

Type = Callable[[str, str], str]
"""Types a command, and returns its output. The second argument is the text after which the terminal
is closed; it may be empty."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), *COOKIECUTTER, "--no-input", str(TEMPLATE.parent))
        (project,) = Path(folder).iterdir()
        run(project, "make", "install")
        page = PAGE.read_text(encoding="utf-8")
        with desk(project, Path(folder)) as (type_, edit):
            page = update(page, type_, edit)
        PAGE.write_text(page, encoding="utf-8")


def update(page: str, type_: Type, edit: Callable[[str], Any]) -> str:
    """Return a page with the output that its commands have now.

    Args:
        page: Its text.
        type_: Types a command.
        edit: Applies a diff.
    """

    def updated(block: re.Match[str]) -> str:
        if block["language"] == "diff":
            edit(block["text"])
            return block[0]
        close = _CLOSE.search(page, 0, block.start())
        commands = _COMMAND.finditer(block["text"])
        typed = (command[0] + type_(command[1], close[1] if close else "") for command in commands)
        return f"```console\n{''.join(typed)}```"

    return _BLOCK.sub(updated, page)


@contextmanager
def desk(project: Path, folder: Path) -> Iterator[tuple[Type, Callable[[str], Any]]]:
    """Yield what ``update`` needs to work in an installed project, whose image is on SageMaker.

    Args:
        project: The project.
        folder: An empty folder for what the emulator keeps.
    """
    with registry.images_of(project), _service(project, folder) as service:
        variables = {
            "S3_BUCKET": emulator.BUCKET,
            "SAGEMAKER_ROLE_ARN": f"arn:aws:iam::{registry.ACCOUNT}:role/jobs",
            "PYTHONPATH": str(project / "src"),
            "TERM": "dumb",
        }
        environment = {**service.environment(), **variables}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # each command would compile everything
        terminal = Terminal(project, environment, COLUMNS)
        examples = Examples(project)

        def type_(command: str, close_after: str) -> str:
            with service.without_instances() if close_after else nullcontext():
                return examples.replace(terminal.type(command, close_after))

        def edit(diff: str) -> None:
            (folder / "diff").write_text(diff)
            run(project, "git", "apply", str(folder / "diff"))

        yield type_, edit


class _Service(emulator.Emulator):
    """Gives an instance to a job once its log has been read for the first time.

    So a terminal always shows that the job is in progress before it shows what the job prints.
    """

    def __init__(self, images: registry.Server, folder: Path) -> None:
        super().__init__(images, folder)
        self._has_instances = True
        self._log_is_read = threading.Event()

    @contextmanager
    def without_instances(self) -> Iterator[None]:
        """Let jobs wait even if their logs are read."""
        self._has_instances = False
        yield
        self._has_instances = True

    def perform(self, job: emulator.Job, folder: Path) -> None:
        self._log_is_read.clear()
        self._log_is_read.wait()
        super().perform(job, folder)

    def close(self) -> None:
        self._log_is_read.set()
        super().close()

    def __call__(
        self, environ: dict[str, Any], start_response: emulator.StartResponse
    ) -> Iterable[bytes]:
        answer = super().__call__(environ, start_response)
        if (
            environ.get("HTTP_X_AMZ_TARGET", "").endswith(".FilterLogEvents")
            and self._has_instances
        ):
            self._log_is_read.set()
        return answer


@contextmanager
def _service(project: Path, folder: Path) -> Iterator[_Service]:
    """Run the service in a folder, with a bucket and the image of a project."""
    run(project, "scripts/build.sh")
    with registry.docker_registry(folder) as images:
        service = _Service(images, folder)
        with account.serve(service):
            where = {"LocationConstraint": account.REGION}
            s3 = service.client("s3")
            s3.create_bucket(Bucket=emulator.BUCKET, CreateBucketConfiguration=where)
            run(project, "scripts/push.sh", **service.environment())
            try:
                yield service
            finally:
                service.close()


_DIGEST = rf"\b(?!{registry.ACCOUNT})[0-9a-f]{{12}}(?:[0-9a-f]{{28}}|[0-9a-f]{{52}})?\b"
"""A commit, an image or a content, also if it is shortened."""


class Examples:
    """Replaces what differs from run to run by examples, so that tables keep their columns.

    Equal names, digests and lines of a log stay equal. A time is that of the launch that was named
    last, and all durations are the same.
    """

    def __init__(self, project: Path) -> None:
        self._project = str(project)
        self._launches: dict[str, datetime] = {}
        self._digests: dict[str, str] = {}
        self._log_times: dict[str, str] = {}
        self._now = datetime(2026, 11, 30, 9, 3, 12)
        self._kinds: dict[str, Callable[[str], str]] = {
            r"\b\d{8}-\d{6}-[0-9a-z]{6}\b": self._launch,
            _DIGEST: self._digest,
            r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \S+ \S+": self._log_line,
            r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b": lambda _: f"{self._now:%Y-%m-%d %H:%M}",
            r"\b(?:\d+m )?\d+s +": lambda cell: "8s".ljust(len(cell)),
            r"\b(?:\d+m )?\d+s$": lambda _: "8s",
            r"(?<=InProgress after )\d+(?= s$)": lambda _: "0",
            r"(?<= after )\d+(?= s$)": lambda _: "8",
            r"(?<= for )\d+(?= s;)": lambda _: "8",
            r"(?<=cost: )[\d.]+(?= USD)": lambda _: "0.0006",
            r"(?<=finished in )\d+\.\d(?= s$)": lambda _: "2.1",
            r"(?<=\[)00:\d\d(?=<00:00, )": lambda _: "00:00",
            r"(?<=-)[0-9a-f]{6}(?=-dirty\b)": lambda _: "6b86b2",
            r"(?<=<00:00, ) *[\d.]+(?=it/s\])": lambda _: "85.71",
            r"(?<=<00:00, ) *[\d.]+[kM]?(?=B/s\])": lambda _: "341k",
        }

    def replace(self, text: str) -> str:
        """Return a text with examples."""
        text = text.replace(self._project, f"/home/me/{Path(self._project).name}")
        kinds = list(self._kinds.values())
        return re.sub(
            "|".join(f"({pattern})" for pattern in self._kinds),
            lambda found: kinds[(found.lastindex or 0) - 1](found[0]),
            text,
            flags=re.MULTILINE,
        )

    def _launch(self, name: str) -> str:
        if name not in self._launches:
            latest = max(self._launches.values(), default=self._now)
            self._launches[name] = latest + timedelta(minutes=7, seconds=13)
        self._now = self._launches[name]
        return f"{self._now:%Y%m%d-%H%M%S}-{_digest_of(self._now)[:6]}"

    def _digest(self, digest: str) -> str:
        key = digest[:12]
        self._digests.setdefault(key, _digest_of(len(self._digests)))
        return self._digests[key][: len(digest)]

    def _log_line(self, beginning: str) -> str:
        """Replace the time with which a line begins; lines of one moment differ in their words."""
        if beginning not in self._log_times:
            self._now += timedelta(seconds=1)
            time = f"{self._now:%Y-%m-%d %H:%M:%S},{len(self._log_times):03}"
            self._log_times[beginning] = time
        return self._log_times[beginning] + beginning[len(self._log_times[beginning]) :]


def _digest_of(value: object) -> str:
    return sha256(str(value).encode()).hexdigest()


if __name__ == "__main__":
    main()

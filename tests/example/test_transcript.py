"""``docs/transcript.md`` shows what its commands print now."""

import difflib
from pathlib import Path

import pytest
import registry
import transcript
from conftest import Bake
from terminal import Terminal


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.own_account
def test_the_page_shows_what_its_commands_print(
    bake: Bake, installed_project: Path, tmp_path: Path
) -> None:
    registry.need_engine()
    project = bake()
    (project / ".venv").symlink_to(installed_project / ".venv")
    with (project / ".git" / "info" / "exclude").open("a") as excluded:
        excluded.write(".venv\n")
    page = transcript.PAGE.read_text(encoding="utf-8")
    with transcript.desk(project, tmp_path) as (type_, edit):
        now = transcript.update(page, type_, edit)
    difference = difflib.unified_diff(page.splitlines(), now.splitlines(), "page", "now", n=1)
    assert now == page, "\n".join(["`make transcript` updates the page:", *difference])


def test_only_the_output_in_a_page_is_replaced() -> None:
    page = """\
A day.

```console
$ first \\
    --option
old output
$ second
```

<!-- close the terminal after: Begun -->

```console
$ third
old output
```

```diff
-a
+b
```

```text
$ not a command
```
"""
    typed: list[tuple[str, str]] = []
    edits: list[str] = []

    def type_(command: str, close_after: str) -> str:
        typed.append((command, close_after))
        return f"output {len(typed)}\n"

    now = transcript.update(page, type_, edits.append)
    assert typed == [("first \\\n    --option", ""), ("second", ""), ("third", "Begun")]
    assert edits == ["-a\n+b\n"]
    expected = page.replace("old output\n$ second\n", "output 1\n$ second\noutput 2\n")
    assert now == expected.replace("old output", "output 3")


def test_equal_values_have_equal_examples(tmp_path: Path) -> None:
    first, second = "20250102-030405-aaaaaa", "20250102-030406-bbbbbb"
    commit = "0123456789abcdef0123456789abcdef01234567"
    examples = transcript.Examples(tmp_path)
    shown = examples.replace(f"{first} {second} {first} {commit} {commit[:12]}-dirty").split()
    assert shown[0] == shown[2] != shown[1]
    assert shown[4] == f"{shown[3][:12]}-dirty"
    assert not {first, second, commit} & set(shown)
    assert examples.replace(f"job-{second}") == f"job-{shown[1]}"
    arn = f"arn:aws:iam::{registry.ACCOUNT}:role/jobs"
    assert examples.replace(arn) == arn


def test_runs_of_different_speed_have_the_same_examples(tmp_path: Path) -> None:
    table = """\
NAME                     STARTED           TIME    COMMIT
a-20250102-030405-aaaaaa  2025-01-02 03:04  {}  0123456789ab
a-20250102-030406-bbbbbb  2025-01-02 03:0{}  9s      0123456789ab
Completed after {} s
2025-01-02 03:04:0{} INFO finished in {} s
ended 2025-01-02 03:04, after {}
"""
    slow = table.format("1m 02s", 5, 62, "7,890", 12.3, "1m 02s")
    fast = table.format("2s    ", 4, 2, "5,678", 1.2, "2s")
    shown = [transcript.Examples(tmp_path).replace(text) for text in (slow, fast)]
    assert shown[0] == shown[1]
    rows = [line for line in shown[0].splitlines() if line.startswith("a-")]
    assert len({row.index("  8s") for row in rows}) == len({len(row) for row in rows}) == 1


def test_a_command_ends_with_its_terminal(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, {"PATH": "/usr/bin:/bin"}, columns=80)
    command = "trap 'touch hung-up; exit' HUP; echo begun; while true; do sleep 0.1; done"
    assert terminal.type(command, close_after="begun") == "begun\n"
    assert (tmp_path / "hung-up").exists()
    assert terminal.type("[ -t 1 ] && stty size") == "40 80\n"
    assert terminal.type("printf 'one\\rtwo\\n'") == "two\n"
    with pytest.raises(RuntimeError, match="begun"):
        terminal.type("echo other", close_after="begun")

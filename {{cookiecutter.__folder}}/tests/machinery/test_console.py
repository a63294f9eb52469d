"""What hosts write is printed as they write it."""

import os
import re
import resource
import sys
import threading

import pytest

from launch.backends.console import Console


def copy(console: Console, host: str, *chunks: bytes) -> None:
    """Let a host write chunks to a pipe and close it."""
    reader, writer = os.pipe()
    copier = threading.Thread(
        target=console.copy, args=(host, os.fdopen(reader, "rb"), threading.Event())
    )
    copier.start()
    with os.fdopen(writer, "wb", buffering=0) as stream:
        for chunk in chunks:
            stream.write(chunk)
    copier.join()


def test_each_line_has_the_name_of_its_host(capsys: pytest.CaptureFixture[str]) -> None:
    copy(Console(), "algo-2", b"one\ntw", b"o\nthree")
    assert capsys.readouterr().out == "algo-2 | one\nalgo-2 | two\nalgo-2 | three"


def test_a_bar_is_redrawn_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    copy(Console(), "algo-1", b"\r10 %", b"\r20 %", b"\ndone\n")
    shown = capsys.readouterr().out
    assert shown.count("\n") == 2
    assert [line.strip() for line in re.split("[\r\n]", shown.replace("algo-1 | ", ""))] == [
        *("", "10 %", "20 %", "done", "")
    ]


def test_an_unfinished_line_is_ended_when_another_host_writes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console()
    console.write("algo-1", "working ...")
    console.write("algo-2", "hello\n")
    console.write("algo-1", "done\n")
    assert capsys.readouterr().out == ("algo-1 | working ...\nalgo-2 | hello\nalgo-1 | done\n")


def test_characters_are_whole_and_other_bytes_visible(capsys: pytest.CaptureFixture[str]) -> None:
    copy(Console(), "algo-1", "ü".encode()[:1], "ü".encode()[1:] + b"\xff\n")
    assert capsys.readouterr().out == "algo-1 | ü�\n"


def test_a_long_line_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, "w") as devnull:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", devnull)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        copy(Console(), "algo-1", *[b"x" * (1 << 20)] * 150)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000 * (1024 if sys.platform == "darwin" else 1)


def test_a_process_that_keeps_the_stream_open_is_not_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    ended = threading.Event()
    arguments = ("algo-1", os.fdopen(reader, "rb"), ended)
    copier = threading.Thread(target=Console().copy, args=arguments)
    copier.start()
    os.write(writer, b"the last words\n")
    ended.set()
    copier.join(timeout=60)
    os.close(writer)
    assert not copier.is_alive()
    assert "the last words" in capsys.readouterr().out


def test_nothing_is_printed_once_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    console = Console()
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        console.write("algo-1", "hello\n")
        assert console.closed
        console.write("algo-1", "hello\n")
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())

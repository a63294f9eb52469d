"""Folders on this machine: what is read from them, and that nothing in them is ever lost."""

import errno
import fcntl
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.settings.project import LaunchError
from launch.storage import folders
from trees import content, write

NOBODY = 65534


@contextmanager
def another_process(script: str, *arguments: Path) -> Iterator[IO[bytes]]:
    """Run a script that goes on until it is killed, from the line on that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline()
        yield process.stdout
        process.send_signal(signal.SIGKILL)
        process.wait()


CLAIM = """
import sys, time
from pathlib import Path
from launch.storage import folders

claim = folders.claim(Path(sys.argv[1]))
print("claimed", flush=True)
time.sleep(60)
"""

CLAIM_WITH_NOTE = """
import sys, time
from pathlib import Path
from launch.storage import folders

with folders.temporary(Path(sys.argv[1])) as note:
    for path in sys.argv[2:]:
        folders.claim(Path(path), note)
    print("claimed", flush=True)
    time.sleep(60)
"""

PUBLISH_AND_HANG = """
import sys, time
from pathlib import Path
from launch.storage import folders

temporary, target = map(Path, sys.argv[1:])
rename = Path.rename

def rename_but_hang(path, other):
    if other == target:
        print("publishing", flush=True)
        time.sleep(60)
    return rename(path, other)

with folders.temporary(temporary) as note, folders.claim(target, note) as claim:
    result = note / "result"
    result.mkdir()
    (result / "a.csv").write_text("1")
    Path.rename = rename_but_hang
    claim.publish(result)
"""

CLAIM_AT_ONCE = """
import sys
from pathlib import Path
from launch.storage import folders
from launch.settings.project import LaunchError
from trees import content, write

while not Path(sys.argv[1]).exists():
    pass
try:
    with folders.claim(Path(sys.argv[2])):
        print("claimed", flush=True)
        sys.stdin.read()
except LaunchError:
    print("rejected", flush=True)
"""

TEMPORARY = """
import sys, time
from pathlib import Path
from launch.storage import folders

with folders.temporary(Path(sys.argv[1])) as folder:
    (folder / "partial.csv").write_text("1")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder that every user reaches: pytest's own are for the user who runs the tests only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        for path in Path(folder).rglob("*"):
            path.chmod(0o755)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Be a user for whom permissions hold, which for root they do not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


class TestScan:
    def test_lists_files_in_the_order_of_their_names_in_utf_8(self, tmp_path: Path) -> None:
        # In UTF-16, the emoji would precede the full-width letter.
        names = ["b.csv", "a/z.csv", "a.csv", "\uff21.csv", "\U0001f427.csv", "a/b/c.csv"]
        write(tmp_path, {name: name.encode() for name in names})
        files = folders.scan(tmp_path)
        assert [file.name for file in files] == sorted(names, key=str.encode)
        assert all(file.path.read_bytes() == file.name.encode() for file in files)
        assert all(file.size == len(file.name.encode()) for file in files)

    def test_is_empty_for_a_folder_without_files(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert folders.scan(tmp_path) == []

    def test_rejects_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(LaunchError, match="missing does not exist"):
            folders.scan(tmp_path / "missing")

    def test_lists_a_file_as_a_folder_that_holds_nothing_else(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.csv": b"1", "b.csv": b"2", "alone/a.csv": b"1"})
        (file,) = folders.scan(tmp_path / "a.csv")
        (same,) = folders.scan(tmp_path / "alone")
        assert (file.name, file.size) == (same.name, same.size) == ("a.csv", 1)
        assert file.path == tmp_path / "a.csv"

    def test_follows_links_that_stay_in_the_folder(self, tmp_path: Path) -> None:
        write(tmp_path, {"2007/a.csv": b"1"})
        (tmp_path / "latest").symlink_to("2007")
        (tmp_path / "copy.csv").symlink_to("2007/a.csv")
        names = [file.name for file in folders.scan(tmp_path)]
        assert names == ["2007/a.csv", "copy.csv", "latest/a.csv"]

    def test_follows_a_link_to_the_folder_itself(self, tmp_path: Path) -> None:
        write(tmp_path, {"real/a.csv": b"1"})
        (tmp_path / "link").symlink_to("real")
        assert [file.name for file in folders.scan(tmp_path / "link")] == ["a.csv"]

    @pytest.mark.parametrize("target", ["/etc/hosts", "../outside.csv", "/etc", "../data-2"])
    def test_rejects_a_link_that_leaves_the_folder(self, target: str, tmp_path: Path) -> None:
        write(tmp_path, {"outside.csv": b"1", "data-2/a.csv": b"1", "data/a.csv": b"1"})
        (tmp_path / "data" / "link").symlink_to(target)
        with pytest.raises(LaunchError, match="link is a symbolic link out of the folder"):
            folders.scan(tmp_path / "data")

    @pytest.mark.parametrize(
        ("link", "target"),
        [("inner/up", ".."), ("self", "self"), ("dangling", "nowhere"), ("here", ".")],
    )
    def test_rejects_a_link_that_leads_nowhere_or_in_a_circle(
        self, link: str, target: str, tmp_path: Path
    ) -> None:
        write(tmp_path, {"inner/a.csv": b"1"})
        (tmp_path / link).symlink_to(target)
        with pytest.raises(LaunchError, match=f"{link} is a symbolic link to"):
            folders.scan(tmp_path)

    def test_rejects_two_links_that_make_a_circle(self, tmp_path: Path) -> None:
        write(tmp_path, {"x/a.csv": b"1", "y/a.csv": b"1"})
        (tmp_path / "x" / "y").symlink_to("../y")
        (tmp_path / "y" / "x").symlink_to("../x")
        with pytest.raises(LaunchError, match="symbolic link"):
            folders.scan(tmp_path)

    def test_rejects_what_is_neither_file_nor_folder(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(LaunchError, match="pipe is neither a file nor a folder"):
            folders.scan(tmp_path)

    def test_rejects_a_name_that_is_not_utf_8(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"caf\xe9.csv")
        try:
            (tmp_path / name).touch()
        except OSError:
            return  # the file systems of macOS have no such names
        with pytest.raises(LaunchError, match=r"caf\\udce9\.csv' is not UTF-8"):
            folders.scan(tmp_path)

    def test_names_a_folder_that_cannot_be_read(self, ordinary_user: Path) -> None:
        write(ordinary_user, {"locked/a.csv": b"1"})
        (ordinary_user / "locked").chmod(0)
        with as_ordinary_user(), pytest.raises(LaunchError, match="locked cannot be read"):
            folders.scan(ordinary_user)


class TestSnapshot:
    def test_has_the_checksums_of_every_file(self, tmp_path: Path) -> None:
        large = bytes(range(256)) * 16384
        snapshot = folders.snapshot(write(tmp_path, {"a.csv": b"123456789", "b/large": large}))
        sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        assert snapshot.sha256["a.csv"] == sha256
        assert snapshot.crc32["a.csv"] == 0xCBF43926  # the check value of CRC-32
        assert snapshot.size == 9 + len(large)
        assert set(snapshot.sha256) == set(snapshot.crc32) == {"a.csv", "b/large"}

    def test_lists_files_as_a_record_does(self, tmp_path: Path) -> None:
        snapshot = folders.snapshot(write(tmp_path, {"b/a.csv": b"123456789"}))
        sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        listed = json.loads(snapshot.file_list)
        assert listed == {"files": {"b/a.csv": {"size": 9, "sha256": sha256}}}

    @settings(max_examples=30)
    @given(st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=3), min_size=1), st.data())
    def test_has_one_digest_for_the_same_data(
        self, files: dict[str, bytes], data: st.DataObject
    ) -> None:
        order = data.draw(st.permutations(list(files)))
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            first = folders.snapshot(write(Path(one), files))
            second = folders.snapshot(write(Path(other), {name: files[name] for name in order}))
            assert first.digest == second.digest

    @pytest.mark.parametrize(
        "other",
        [
            {"a.csv": b"1", "b.csv": b"3"},
            {"a.csv": b"2", "b.csv": b"1"},
            {"a.csv": b"1", "c.csv": b"2"},
            {"a.csv": b"1", "x/b.csv": b"2"},
            {"a.csv": b"1", "b.csv": b"2", "c.csv": b""},
            {"a.csv": b"12", "b.csv": b""},
            {"a.csv": b"1"},
        ],
    )
    def test_has_another_digest_for_other_data(
        self, other: Mapping[str, bytes], tmp_path: Path
    ) -> None:
        first = folders.snapshot(write(tmp_path / "1", {"a.csv": b"1", "b.csv": b"2"}))
        assert first.digest != folders.snapshot(write(tmp_path / "2", other)).digest

    def test_of_a_file_is_that_of_a_folder_that_holds_nothing_else(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.csv": b"1", "b.csv": b"2", "alone/a.csv": b"1", "other/b.csv": b"1"})
        digest = folders.snapshot(tmp_path / "a.csv").digest
        assert digest == folders.snapshot(tmp_path / "alone").digest
        assert digest != folders.snapshot(tmp_path / "other").digest

    def test_rejects_a_folder_without_files(self, tmp_path: Path) -> None:
        with pytest.raises(LaunchError, match="holds no files"):
            folders.snapshot(tmp_path)

    def test_names_a_file_that_cannot_be_read(self, ordinary_user: Path) -> None:
        write(ordinary_user, {"a.csv": b"1", "secret.csv": b"2"})
        (ordinary_user / "secret.csv").chmod(0)
        with as_ordinary_user(), pytest.raises(LaunchError, match=r"secret\.csv cannot be read"):
            folders.snapshot(ordinary_user)

    @pytest.mark.parametrize("change", ["removed", "rewritten", "emptied"])
    def test_names_a_file_that_changes_meanwhile(
        self, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, {"a.csv": b"1", "b.csv": b"2"})
        scan = folders.scan

        def scan_and_change(folder: Path) -> list[folders.File]:
            files = scan(folder)
            if change == "removed":
                (tmp_path / "b.csv").unlink()
            else:
                (tmp_path / "b.csv").write_bytes(b"34" if change == "rewritten" else b"")
            return files

        monkeypatch.setattr(folders, "scan", scan_and_change)
        with pytest.raises(LaunchError, match=r"b\.csv"):
            folders.snapshot(tmp_path)


class TestChanges:
    def test_names_files_that_were_changed_or_removed(self, tmp_path: Path) -> None:
        write(tmp_path, dict.fromkeys(("kept", "removed", "longer", "touched"), b"1"))
        before = folders.scan(tmp_path)
        assert folders.changes(before) == []
        (tmp_path / "removed").unlink()
        (tmp_path / "longer").write_bytes(b"12")
        os.utime(tmp_path / "touched", (0, 0))
        (tmp_path / "added").write_bytes(b"1")
        changed = [path.name for path in folders.changes(before)]
        assert changed == ["longer", "removed", "touched"]


class TestProgress:
    def test_draws_nothing_without_a_terminal(self, capfd: pytest.CaptureFixture[str]) -> None:
        with folders.progress("reading", 10) as advance:
            advance(10)
        assert capfd.readouterr() == ("", "")

    def test_counts_bytes_on_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        monkeypatch.setattr("tqdm.std.time", itertools.count(0, 10).__next__)
        with folders.progress("reading", 2000) as advance:
            advance(1000)
            advance(1000)
        assert "2.00k/2.00k" in capsys.readouterr().err


class TestTemporary:
    def test_is_removed_at_the_end(self, tmp_path: Path) -> None:
        with folders.temporary(tmp_path / "out") as folder:
            write(folder, {"x/a.csv": b"1"})
        assert list((tmp_path / "out").iterdir()) == []

    def test_is_removed_after_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), folders.temporary(tmp_path):
            raise KeyboardInterrupt
        assert list(tmp_path.iterdir()) == []

    def test_is_removed_when_a_job_left_read_only_folders(
        self, ordinary_user: Path, tmp_path: Path
    ) -> None:
        ordinary_user.chmod(0o777)
        kept = write(tmp_path / "kept", {"a.csv": b"1"})
        kept.chmod(0o755)
        with as_ordinary_user(), folders.temporary(ordinary_user) as folder:
            write(folder, {"x/y/a.csv": b"1"})
            (folder / "x" / "y").chmod(0o555)
            (folder / "x" / "link").symlink_to(kept)
            (folder / "x").chmod(0o500)
        assert list(ordinary_user.iterdir()) == []
        assert kept.stat().st_mode & 0o777 == 0o755

    def test_is_found_and_removed_after_its_launcher_was_killed(self, tmp_path: Path) -> None:
        with another_process(TEMPORARY, tmp_path):
            (left,) = tmp_path.iterdir()
            assert folders.is_locked(left)
            assert folders.abandoned(tmp_path) == []
            folders.remove(left)
            assert content(left)["partial.csv"] == b"1"
        assert not folders.is_locked(left)
        assert folders.abandoned(tmp_path) == [left]
        folders.remove(left)
        assert list(tmp_path.iterdir()) == []

    def test_is_found_in_the_folders_of_runs(self, tmp_path: Path) -> None:
        (tmp_path / "20260101" / "job").mkdir(parents=True)
        with another_process(CLAIM, tmp_path / "20260101" / "job" / "result"):
            assert folders.abandoned(tmp_path) == []
        (left,) = folders.abandoned(tmp_path)
        folders.remove(left)
        assert content(tmp_path) == {}

    def test_is_not_one_that_a_user_made(self, tmp_path: Path) -> None:
        write(tmp_path, {"dataset/a.csv": b"1"})
        assert folders.abandoned(tmp_path) == []
        with pytest.raises(ValueError, match="dataset"):
            folders.remove(tmp_path / "dataset")
        assert content(tmp_path) == {"dataset/a.csv": b"1"}

    def test_is_not_a_link(self, tmp_path: Path) -> None:
        write(tmp_path, {"elsewhere/a.csv": b"1"})
        link = tmp_path / ".launch-link"
        link.symlink_to("elsewhere")
        assert folders.abandoned(tmp_path) == []
        with pytest.raises(ValueError, match=r"\.launch-link"):
            folders.remove(link)
        assert content(tmp_path) == {"elsewhere/a.csv": b"1"}

    def test_is_kept_where_there_are_no_locks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
        with folders.temporary(tmp_path) as folder:
            assert folders.abandoned(tmp_path) == []
            folders.remove(folder)
            assert folder.is_dir()
        assert list(tmp_path.iterdir()) == []

    def test_is_rejected_where_it_cannot_be_made(self, tmp_path: Path) -> None:
        file = write(tmp_path, {"a.csv": b"1"}) / "a.csv"
        with (
            pytest.raises(LaunchError, match=r"a\.csv/out cannot be written"),
            folders.temporary(file / "out"),
        ):
            pass

    def test_does_not_keep_its_lock_in_a_job_that_outlives_the_launcher(
        self, tmp_path: Path
    ) -> None:
        script = TEMPORARY.replace(
            "print(folder", "import subprocess; subprocess.Popen(['sleep', '5']); print(folder"
        )
        with another_process(script, tmp_path):
            pass
        assert len(folders.abandoned(tmp_path)) == 1


class TestClaim:
    def test_publishes_the_result_as_a_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "run" / "dataset"
        with folders.claim(target) as claim:
            result = write(tmp_path / "result", {"part/a.csv": b"1", "job.json": b"{}"})
            assert not target.exists()
            claim.publish(result)
        assert content(tmp_path) == {
            "run/dataset/part/a.csv": b"1",
            "run/dataset/job.json": b"{}",
        }
        assert list(target.parent.iterdir()) == [target]

    def test_publishes_with_the_permissions_of_any_folder(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        (tmp_path / "result").mkdir()
        with folders.claim(tmp_path / "dataset") as claim:
            claim.publish(tmp_path / "result")
        assert (tmp_path / "dataset").stat().st_mode == (tmp_path / "other").stat().st_mode

    def test_takes_an_empty_folder(self, tmp_path: Path) -> None:
        target = tmp_path / "dataset"
        target.mkdir()
        publish(target, {"a.csv": b"1"})
        assert content(tmp_path) == {"dataset/a.csv": b"1"}

    def test_takes_what_a_link_leads_to(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "out").symlink_to("disk")
        publish(tmp_path / "out", {"a.csv": b"1"})
        assert (tmp_path / "out").is_symlink()
        assert content(tmp_path / "disk") == {"a.csv": b"1"}

    def test_leaves_nothing_when_the_job_fails(self, tmp_path: Path) -> None:
        with folders.claim(tmp_path / "dataset") as claim:
            pass
        claim.release()
        assert list(tmp_path.iterdir()) == []

    def test_rejects_a_folder_with_files(self, tmp_path: Path) -> None:
        write(tmp_path, {"dataset/a.csv": b"1"})
        with pytest.raises(LaunchError, match="dataset already holds files"):
            folders.claim(tmp_path / "dataset")
        assert content(tmp_path) == {"dataset/a.csv": b"1"}

    def test_rejects_a_file(self, tmp_path: Path) -> None:
        write(tmp_path, {"dataset": b"1"})
        with pytest.raises(LaunchError, match="dataset is a file"):
            folders.claim(tmp_path / "dataset")
        assert content(tmp_path) == {"dataset": b"1"}

    @pytest.mark.parametrize("folder", ["/", "/dev"])
    def test_rejects_a_mount_point(self, folder: str) -> None:
        with pytest.raises(LaunchError, match="is a mount point"):
            folders.claim(Path(folder))

    def test_rejects_a_folder_below_a_file(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.csv": b"1"})
        with pytest.raises(LaunchError, match=r"a\.csv"):
            folders.claim(tmp_path / "a.csv" / "run" / "dataset")

    def test_rejects_a_folder_that_cannot_be_written(self, ordinary_user: Path) -> None:
        ordinary_user.chmod(0o555)
        with as_ordinary_user(), pytest.raises(LaunchError, match="Permission denied"):
            folders.claim(ordinary_user / "dataset")

    def test_rejects_a_disk_without_room(self, tmp_path: Path) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
        try:
            with pytest.raises(LaunchError, match=f"{tmp_path.name} cannot be written"):
                folders.claim(tmp_path / "dataset")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(tmp_path.iterdir()) == []

    def test_is_given_once_in_a_process(self, tmp_path: Path) -> None:
        with folders.claim(tmp_path / "dataset"):
            with pytest.raises(LaunchError, match="another launch"):
                folders.claim(tmp_path / "dataset")
            with folders.claim(tmp_path / "other"):
                pass
        with folders.claim(tmp_path / "dataset"):
            pass

    def test_is_given_to_one_of_many_at_once(self, tmp_path: Path) -> None:
        barrier = threading.Barrier(8)
        claims: list[folders.Claim] = []
        errors: list[LaunchError] = []

        def claim() -> None:
            barrier.wait()
            try:
                claims.append(folders.claim(tmp_path / "dataset"))
            except LaunchError as error:
                errors.append(error)

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(claims), len(errors)) == (1, 7)
        claims[0].publish(write(tmp_path / "result", {"a.csv": b"1"}))
        claims[0].release()
        assert content(tmp_path) == {"dataset/a.csv": b"1"}

    def test_is_given_to_one_of_many_processes_at_once(self, tmp_path: Path) -> None:
        go, target = tmp_path / "go", tmp_path / "dataset"
        command = [sys.executable, "-c", CLAIM_AT_ONCE, str(go), str(target)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        processes = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
            )
            for _ in range(4)
        ]
        go.touch()
        lines = [process.stdout.readline() for process in processes if process.stdout]
        for process in processes:
            process.communicate()
        assert sorted(lines) == ["claimed\n", *["rejected\n"] * 3]
        assert list(tmp_path.iterdir()) == [go]

    def test_is_given_to_one_of_many_after_a_launcher_was_killed(self, tmp_path: Path) -> None:
        with another_process(CLAIM, tmp_path / "dataset"):
            pass
        self.test_is_given_to_one_of_many_at_once(tmp_path)

    def test_belongs_to_a_launcher_as_long_as_it_lives(self, tmp_path: Path) -> None:
        target = tmp_path / "dataset"
        with (
            another_process(CLAIM, target),
            pytest.raises(LaunchError, match="another launch is writing"),
        ):
            folders.claim(target)
        publish(target, {"a.csv": b"1"})
        assert list(tmp_path.iterdir()) == [target]

    def test_keeps_what_appears_in_the_output_while_the_job_runs(self, tmp_path: Path) -> None:
        target = tmp_path / "dataset"
        with folders.claim(target) as claim:
            result = write(tmp_path / "result", {"a.csv": b"of the job"})
            write(target, {"a.csv": b"of another"})
            with pytest.raises(LaunchError) as caught:
                claim.publish(result)
        found = content(tmp_path)
        assert found.pop("dataset/a.csv") == b"of another"
        (name,) = (name for name, value in found.items() if value == b"of the job")
        assert str((tmp_path / name).parent) in str(caught.value)

    def test_keeps_a_result_that_cannot_be_published(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the reason is, and however the launches that follow end."""
        target, rename = tmp_path / "dataset", Path.rename

        def fail(path: Path, other: Path) -> Path:
            if other == target:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return rename(path, other)

        monkeypatch.setattr(Path, "rename", fail)
        with pytest.raises(LaunchError, match="Invalid cross-device link") as caught:
            publish(target, {"a.csv": b"1"})
        monkeypatch.undo()
        kept = next(path.parent for path in tmp_path.rglob("a.csv"))
        assert str(kept) in str(caught.value)

        assert folders.abandoned(tmp_path) == []
        with pytest.raises(LaunchError, match=str(kept)):
            folders.claim(target)
        assert content(kept) == {"a.csv": b"1"}
        kept.rename(tmp_path / "moved")
        publish(target, {"b.csv": b"2"})
        assert content(tmp_path) == {"moved/a.csv": b"1", "dataset/b.csv": b"2"}

    def test_leaves_a_result_where_it_is_when_nothing_can_be_renamed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = write(tmp_path / "result", {"a.csv": b"1"})

        def fail(*_: Path) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        with folders.claim(tmp_path / "dataset") as claim:
            monkeypatch.setattr(Path, "rename", fail)
            with pytest.raises(LaunchError, match="Read-only file system"):
                claim.publish(result)
            monkeypatch.undo()
        assert content(tmp_path) == {"result/a.csv": b"1"}

    @pytest.mark.parametrize("other_file_system", [False, True])
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("step", range(3))
    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_keeps_a_result_when_a_step_of_publishing_is_interrupted(
        self,
        error: type[BaseException],
        step: int,
        when: str,
        other_file_system: bool,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        target, result = tmp_path / "dataset", write(tmp_path / "result", {"a.csv": b"1"})
        rename, steps = Path.rename, 0

        def interrupted(path: Path, other: Path) -> Path:
            nonlocal steps
            steps += 1
            if when == "before" and steps == step + 1:
                raise error
            if other_file_system and path == result:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            path = rename(path, other)
            if when == "after" and steps == step + 1:
                raise error
            return path

        with folders.claim(target) as claim:
            monkeypatch.setattr(Path, "rename", interrupted)
            with suppress(error):
                claim.publish(result)
            monkeypatch.undo()
        for path in folders.abandoned(tmp_path):
            folders.remove(path)
        kept = [path.parent for path in tmp_path.rglob("a.csv")]
        assert kept
        assert all(content(path) == {"a.csv": b"1"} for path in kept)
        printed = capsys.readouterr().out
        assert {target, result} & set(kept) or str(kept[0]) in printed
        for path in set(kept) - {target, result}:
            assert str(path) in printed
            with pytest.raises(LaunchError, match=str(path)):
                folders.claim(target)

    def test_keeps_a_result_of_a_launcher_that_was_killed(self, tmp_path: Path) -> None:
        target, out = tmp_path / "elsewhere" / "dataset", tmp_path / "out"
        with another_process(PUBLISH_AND_HANG, out, target):
            pass
        assert folders.abandoned(target.parent) == []
        for path in folders.abandoned(out):
            folders.remove(path)
        assert list(out.iterdir()) == []
        (kept,) = (path.parent for path in tmp_path.rglob("a.csv"))
        with pytest.raises(LaunchError, match=str(kept)):
            folders.claim(target)
        assert content(kept) == {"a.csv": b"1"}

    def test_copies_a_result_from_another_file_system(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = write(tmp_path / "result", {"x/a.csv": b"1"})
        with folders.claim(tmp_path / "dataset") as claim:
            on_another_file_system(result, monkeypatch)
            claim.publish(result)
        assert content(tmp_path / "dataset") == {"x/a.csv": b"1"}
        assert {path.name for path in tmp_path.iterdir()} == {"dataset", "result"}

    def test_leaves_a_result_that_cannot_be_copied(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = write(tmp_path / "result", {"a.csv": b"1", "b.csv": bytes(4096)})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        with folders.claim(tmp_path / "dataset") as claim:
            on_another_file_system(result, monkeypatch)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
            try:
                with pytest.raises(LaunchError, match=r"b\.csv: [^()]*File too large") as caught:
                    claim.publish(result)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "[(" not in str(caught.value)
        assert content(tmp_path) == {"result/a.csv": b"1", "result/b.csv": bytes(4096)}

    def test_is_removed_at_any_depth_after_its_launcher_was_killed(self, tmp_path: Path) -> None:
        out, targets = tmp_path / "out", [tmp_path / "a/b/c/d/dataset", tmp_path / "model"]
        with another_process(CLAIM_WITH_NOTE, out, *targets):
            (left,) = out.iterdir()
            folders.remove(left)
            for target in targets:
                with pytest.raises(LaunchError, match="another launch is writing"):
                    folders.claim(target)
        folders.remove(left)
        assert list(out.iterdir()) == list(targets[0].parent.iterdir()) == []
        assert content(tmp_path) == {}
        assert {path.name for path in tmp_path.iterdir()} == {"out", "a"}

    def test_is_kept_if_another_launch_has_it_meanwhile(self, tmp_path: Path) -> None:
        out, target = tmp_path / "out", tmp_path / "dataset"
        with another_process(CLAIM_WITH_NOTE, out, target):
            pass
        with folders.claim(target) as claim:
            for path in folders.abandoned(out):
                folders.remove(path)
            claim.publish(write(tmp_path / "result", {"a.csv": b"1"}))
        assert content(tmp_path) == {"dataset/a.csv": b"1"}

    @pytest.mark.parametrize("noted", ["dataset", "link/.launch-x", "missing/.launch-x"])
    def test_is_not_what_else_is_noted(self, noted: str, tmp_path: Path) -> None:
        write(tmp_path, {"dataset/a.csv": b"1", "link/a.csv": b"2"})
        (tmp_path / "link" / ".launch-x").symlink_to(tmp_path / "dataset")
        abandoned = write(
            tmp_path / "out" / ".launch-1",
            {"claims": f'{json.dumps(str(tmp_path / noted))}\n7\n"/cut'.encode()},
        )
        folders.remove(abandoned)
        assert not abandoned.exists()
        assert content(tmp_path / "dataset") == {"a.csv": b"1"}
        assert (tmp_path / "link" / ".launch-x").is_symlink()


def on_another_file_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be one that cannot be renamed to where the tests write."""
    rename = Path.rename

    def fail(path: Path, other: Path) -> Path:
        if path == folder:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(path, other)

    monkeypatch.setattr(Path, "rename", fail)


def publish(target: Path, files: Mapping[str, bytes]) -> None:
    """Publish a result, which is put together next to the output folder."""
    with (
        folders.claim(target) as claim,
        tempfile.TemporaryDirectory(dir=target.resolve().parent) as parent,
    ):
        claim.publish(write(Path(parent) / "result", files))

"""Folders in S3, with every fault that AWS, the network and other launches can have."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, SSOTokenLoadError, UnauthorizedSSOTokenError

from aws_faults import ACCOUNT, BUCKET, REGION, Faults, store, stored
from launch.aws import clients, errors
from launch.settings import project
from launch.settings.project import LaunchError, SetupError
from launch.storage import folders, s3
from trees import content, write

pytestmark = pytest.mark.usefixtures("faults")

FILES = {"2007/a.csv": b"1", "2007/b.csv": b"22", "2008/c.csv": b"333", "d.csv": b""}
SHA256 = {
    b"1": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
    b"22": "785f3ec7eb32f30b90cd0fcf3657d388b5ff4297f2f9716ff66e9b69c05ddd09",
}
RESULT = {"part/a.csv": b"1", "rest/b.csv": b"22"}
OUTPUT = f"s3://{BUCKET}/results/dataset"


def record(files: Mapping[str, bytes] = RESULT, **changes: Any) -> bytes:
    """Return the record of a job that wrote these files."""
    listed = {name: {"size": len(body), "sha256": SHA256[body]} for name, body in files.items()}
    values: dict[str, Any] = {"job": "prepare", "host": "algo-1", "hosts": 1, "files": listed}
    return json.dumps({**values, **changes}).encode()


def store_result(files: Mapping[str, bytes] = RESULT, records: Mapping[str, bytes] = {}) -> None:
    """Store the result of a job below ``OUTPUT``."""
    for name, body in {**files, **(records or {"job.json": record()})}.items():
        store(f"results/dataset/{name}", body)


def remove(key: str) -> None:
    """Remove an object, as another may do."""
    clients.client("s3").delete_object(Bucket=BUCKET, Key=key)


def interrupt(*_: object) -> None:
    """Send SIGINT to this process, as Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def snapshot(tmp_path: Path) -> folders.Snapshot:
    return folders.snapshot(write(tmp_path / "data", FILES))


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that downloads appear in."""
    monkeypatch.setattr(project, "OUT", tmp_path / "out")
    return tmp_path / "out" / "downloads"


def inputs(snapshot: folders.Snapshot) -> dict[str, bytes]:
    """Return what is stored of an input."""
    return stored(f"{project.name()}/inputs/{snapshot.digest}/")


def is_complete(snapshot: folders.Snapshot) -> bool:
    """Return whether the list of an input's files is stored."""
    key = f"{project.name()}/inputs/{snapshot.digest}.json"
    return stored(key) == {"": snapshot.file_list}


class TestUpload:
    def test_stores_a_folder_by_its_content(
        self, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        address = s3.upload(snapshot)
        assert address == f"s3://{BUCKET}/{project.name()}/inputs/{snapshot.digest}/"
        assert inputs(snapshot) == FILES
        assert is_complete(snapshot)
        assert faults.calls["HeadObject"] == 0

    def test_stores_the_same_data_once(self, faults: Faults, tmp_path: Path) -> None:
        for name in ("one", "other"):
            faults.clear()
            s3.upload(folders.snapshot(write(tmp_path / name, FILES)))
        assert faults.calls == {"ListObjectsV2": 1}

    def test_restores_what_is_missing_of_stored_data(
        self, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        address = s3.upload(snapshot)
        _, prefix = s3.split(address)
        remove(f"{prefix}2007/a.csv")
        store(f"{prefix}2007/b.csv", b"cut off")
        faults.clear()
        assert s3.upload(snapshot) == address
        assert inputs(snapshot) == FILES
        assert is_complete(snapshot)
        assert faults.calls["PutObject"] == 2

    def test_restores_the_list_of_files(self, faults: Faults, snapshot: folders.Snapshot) -> None:
        _, prefix = s3.split(s3.upload(snapshot))
        remove(f"{prefix.rstrip('/')}.json")
        faults.clear()
        s3.upload(snapshot)
        assert is_complete(snapshot)
        assert faults.calls["PutObject"] == 1

    @pytest.mark.parametrize("name", ["2009/new.csv", ".json", "d.csv.json"])
    def test_rejects_files_that_another_added_to_stored_data(
        self, name: str, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        _, prefix = s3.split(s3.upload(snapshot))
        store(f"{prefix}{name}")
        faults.clear()
        with pytest.raises(LaunchError) as caught:
            s3.upload(snapshot)
        assert f"s3://{BUCKET}/{prefix}{name}" in str(caught.value)
        assert faults.calls == {"ListObjectsV2": 1}

    def test_stores_other_data_elsewhere(self, tmp_path: Path) -> None:
        one = folders.snapshot(write(tmp_path / "1", FILES))
        other = folders.snapshot(write(tmp_path / "2", {**FILES, "d.csv": b"new"}))
        assert s3.upload(one) != s3.upload(other)
        assert inputs(one) == FILES
        assert inputs(other) == {**FILES, "d.csv": b"new"}

    def test_stores_the_list_of_files_after_all_files(
        self, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        s3.upload(snapshot)
        assert is_complete(snapshot)
        assert faults.calls["PutObject"] == len(FILES) + 1

    def test_stores_names_of_all_kinds(self, tmp_path: Path) -> None:
        files = {"a b+c%20.csv": b"1", "\U0001f427/\u00e9.csv": b"2", "q?&=#.csv": b"3", "\\": b"4"}
        snapshot = folders.snapshot(write(tmp_path, files))
        s3.upload(snapshot)
        assert inputs(snapshot) == files

    @pytest.mark.parametrize("after", range(len(FILES) + 1))
    def test_continues_after_a_failure_at_any_file(
        self, after: int, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        faults.fail("PutObject", "AccessDenied", after=after)
        with pytest.raises(LaunchError, match="PutObject: AccessDenied"):
            s3.upload(snapshot)
        assert not is_complete(snapshot)
        assert inputs(snapshot).items() <= FILES.items()
        missing = len(FILES) - len(inputs(snapshot))
        faults.clear()
        s3.upload(snapshot)
        assert inputs(snapshot) == FILES
        assert is_complete(snapshot)
        assert faults.calls["PutObject"] == missing + 1

    def test_names_a_file_that_was_rejected_and_cancels_the_rest(
        self, faults: Faults, tmp_path: Path
    ) -> None:
        files = {f"{number:04}.csv": b"1" for number in range(500)}
        snapshot = folders.snapshot(write(tmp_path, files))
        faults.fail("PutObject", "AccessDenied", after=1, times=1)
        with pytest.raises(LaunchError, match=r"\d{4}\.csv: PutObject: AccessDenied"):
            s3.upload(snapshot)
        assert faults.calls["PutObject"] < 400
        assert not is_complete(snapshot)

    @pytest.mark.parametrize("size", [100, 9_000_000])
    @pytest.mark.parametrize("growth", [-50, 0, 50])
    def test_rejects_a_file_that_changes_after_its_snapshot(
        self, size: int, growth: int, tmp_path: Path
    ) -> None:
        before = os.urandom(size)
        snapshot = folders.snapshot(write(tmp_path, {"a.csv": b"1", "b.csv": before}))
        write(tmp_path, {"b.csv": os.urandom(size + growth)})
        with pytest.raises(LaunchError, match=r"b\.csv was changed"):
            s3.upload(snapshot)
        assert "b.csv" not in inputs(snapshot)
        assert not is_complete(snapshot)
        write(tmp_path, {"b.csv": before})
        s3.upload(snapshot)
        assert inputs(snapshot) == {"a.csv": b"1", "b.csv": before}

    def test_names_a_file_that_vanishes_after_its_snapshot(
        self, snapshot: folders.Snapshot
    ) -> None:
        (snapshot.folder / "2007" / "b.csv").unlink()
        with pytest.raises(LaunchError, match=r"2007/b\.csv"):
            s3.upload(snapshot)
        assert not is_complete(snapshot)

    def test_survives_throttling_and_lost_answers(
        self, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        faults.fail("ListObjectsV2", "SlowDown", times=2)
        faults.fail("PutObject", "SlowDown", times=2)
        faults.disconnect("PutObject", after=2, times=1)
        faults.lose("PutObject", after=3, times=1)
        s3.upload(snapshot)
        assert inputs(snapshot) == FILES
        assert is_complete(snapshot)

    def test_of_the_same_data_by_several_launches_does_no_harm(
        self, faults: Faults, tmp_path: Path
    ) -> None:
        faults.delay("PutObject", 0.01)
        snapshots = [folders.snapshot(write(tmp_path / name, FILES)) for name in "abcd"]
        with ThreadPoolExecutor() as pool:
            addresses = set(pool.map(s3.upload, snapshots))
        assert len(addresses) == 1
        assert inputs(snapshots[0]) == FILES
        assert is_complete(snapshots[0])

    def test_of_different_data_by_several_launches_does_no_harm(
        self, faults: Faults, tmp_path: Path
    ) -> None:
        faults.delay("PutObject", 0.01)
        contents = [{**FILES, "d.csv": name.encode()} for name in "abcd"]
        snapshots = [
            folders.snapshot(write(tmp_path / files["d.csv"].decode(), files)) for files in contents
        ]
        with ThreadPoolExecutor() as pool:
            list(pool.map(s3.upload, snapshots))
        assert [inputs(snapshot) for snapshot in snapshots] == contents
        assert all(map(is_complete, snapshots))

    def test_of_a_large_file_is_the_same_file(self, faults: Faults, tmp_path: Path) -> None:
        large = os.urandom(20_000_000)
        snapshot = folders.snapshot(write(tmp_path, {"large.bin": large}))
        faults.fail("UploadPart", "InternalError", times=1)
        s3.upload(snapshot)
        assert inputs(snapshot) == {"large.bin": large}
        assert faults.calls["UploadPart"] == 4

    def test_stores_records_after_all_other_files(self, faults: Faults, tmp_path: Path) -> None:
        files = {**RESULT, "job.json": record()}
        snapshot = folders.snapshot(write(tmp_path, files))
        faults.fail("PutObject", "AccessDenied", after=2)
        with pytest.raises(LaunchError, match=r"job\.json"):
            s3.upload(snapshot)
        assert inputs(snapshot) == RESULT

    def test_is_interrupted_although_requests_would_be_tried_again(
        self, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        faults.delay("PutObject", 0.2)
        faults.intercept("PutObject", interrupt, times=1)
        faults.disconnect("PutObject")
        with pytest.raises(KeyboardInterrupt):
            s3.upload(snapshot)
        assert faults.calls["PutObject"] <= 2 * len(FILES)
        assert not is_complete(snapshot)

    def test_says_what_to_do_without_credentials(
        self, faults: Faults, snapshot: folders.Snapshot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(SetupError, match="there are no AWS credentials"):
            s3.upload(snapshot)
        assert not faults.calls

    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            ("AccessDenied", "do not allow this: arn:aws:iam::1:user/x may not"),
            ("ExpiredToken", "expired"),
            ("NoSuchBucket", "make stack"),
            ("PermanentRedirect", "AWS_REGION"),
            ("SlowDown", "rate of requests"),
            ("InternalError", "internal error"),
            ("InvalidAccessKeyId", "does not know your credentials"),
            ("SomethingNew", "arn:aws:iam::1:user/x may not"),
        ],
    )
    def test_says_what_to_do_about_an_error(
        self, code: str, advice: str, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        faults.fail("ListObjectsV2", code, message="arn:aws:iam::1:user/x may not")
        with pytest.raises(LaunchError, match=f"ListObjectsV2: {code}: .*{advice}"):
            s3.upload(snapshot)

    def test_names_an_endpoint_that_cannot_be_reached(
        self, faults: Faults, snapshot: folders.Snapshot
    ) -> None:
        faults.disconnect("ListObjectsV2")
        with pytest.raises(LaunchError, match=r"does not answer.*https://.*amazonaws\.com"):
            s3.upload(snapshot)
        assert faults.calls["ListObjectsV2"] == 5


class TestPublish:
    def test_uploads_a_result_with_its_record_last(self, faults: Faults, tmp_path: Path) -> None:
        files = {**RESULT, "job.json": record()}
        faults.fail("PutObject", "AccessDenied", after=2)
        with pytest.raises(LaunchError, match=r"job\.json: PutObject"):
            s3.publish(write(tmp_path, files), OUTPUT)
        assert stored("results/dataset/") == RESULT
        faults.clear()
        s3.publish(tmp_path, f"{OUTPUT}-2")
        assert stored("results/dataset-2/") == files

    @pytest.mark.parametrize("size", [100, 9_000_000])
    def test_replaces_nothing_that_another_wrote(self, size: int, tmp_path: Path) -> None:
        store("results/dataset/b.csv", b"of another")
        files = {"a.csv": b"1", "b.csv": os.urandom(size), "job.json": b"{}"}
        with pytest.raises(LaunchError, match=r"b\.csv was written by another"):
            s3.publish(write(tmp_path, files), OUTPUT)
        found = stored("results/dataset/")
        assert found["b.csv"] == b"of another"
        assert "job.json" not in found

    def test_survives_a_lost_answer(self, faults: Faults, tmp_path: Path) -> None:
        files = {**RESULT, "job.json": record()}
        faults.lose("PutObject", times=2)
        s3.publish(write(tmp_path, files), OUTPUT)
        assert stored("results/dataset/") == files


class TestClaim:
    def test_is_an_object_beside_the_output(self) -> None:
        s3.claim(OUTPUT, {"job": "small-job-1"})
        (key,) = stored()
        assert key == "results/dataset.launch.json"
        assert json.loads(stored()[key])["job"] == "small-job-1"

    def test_is_given_to_one_of_many_at_once(self, faults: Faults) -> None:
        faults.delay("PutObject", 0.05)

        def claim(number: int) -> str:
            try:
                s3.claim(OUTPUT, {"job": number})
            except LaunchError as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(8) as pool:
            errors = list(pool.map(claim, range(8)))
        winner = json.loads(stored()["results/dataset.launch.json"])["job"]
        assert [not error for error in errors] == [number == winner for number in range(8)]
        assert all(f'"job": {winner}' in error for error in errors if error)

    def test_is_ours_when_the_answer_was_lost(self, faults: Faults) -> None:
        faults.lose("PutObject", times=2)
        s3.claim(OUTPUT, {})
        with pytest.raises(LaunchError, match="another launch"):
            s3.claim(OUTPUT, {})

    def test_is_rejected_where_files_are(self) -> None:
        store("results/dataset/a.csv")
        with pytest.raises(LaunchError, match="dataset already holds files"):
            s3.check_new(OUTPUT)
        with pytest.raises(LaunchError, match="dataset already holds files"):
            s3.claim(OUTPUT, {})
        assert list(stored()) == ["results/dataset/a.csv"]

    def test_is_not_rejected_for_the_files_of_a_neighbour(self) -> None:
        store("results/dataset2/a.csv")
        s3.claim(OUTPUT, {})

    @pytest.mark.parametrize("address", [f"s3://{BUCKET}", f"s3://{BUCKET}/", f"s3://{BUCKET}//"])
    def test_is_rejected_for_a_whole_bucket(self, address: str) -> None:
        with pytest.raises(LaunchError, match="whole bucket"):
            s3.claim(address, {})
        assert stored() == {}

    @pytest.mark.parametrize("prefix", ["", "/inputs", "/inputs/results"])
    def test_is_rejected_around_and_in_the_inputs_of_launches(self, prefix: str) -> None:
        with pytest.raises(LaunchError, match="holds the inputs of launches"):
            s3.claim(f"s3://{BUCKET}/{project.name()}{prefix}", {})
        assert stored() == {}

    def test_is_rejected_without_a_bucket(self) -> None:
        with pytest.raises(LaunchError, match="names no bucket"):
            s3.claim("s3://", {})

    def test_is_rejected_when_another_is_being_written(self, faults: Faults) -> None:
        faults.fail("PutObject", "ConditionalRequestConflict", status=409)
        with pytest.raises(LaunchError, match="another launch"):
            s3.claim(OUTPUT, {})

    @pytest.mark.parametrize("fault", ["AccessDenied", "disconnect"])
    def test_is_unknown_whose_it_is_if_it_cannot_be_read(self, fault: str, faults: Faults) -> None:
        s3.claim(OUTPUT, {"job": 1})
        if fault == "disconnect":
            faults.disconnect("GetObject")
        else:
            faults.fail("GetObject", fault)
        with pytest.raises(LaunchError, match=f"unknown whose output {OUTPUT} is"):
            s3.claim(OUTPUT, {"job": 2})

    def test_of_several_outputs_is_given_to_one_of_many(self, faults: Faults) -> None:
        faults.delay("PutObject", 0.02)
        outputs = [f"s3://{BUCKET}/results/{name}" for name in ("a/", "a-", "b", "c")]
        shares = [outputs, outputs[::-1], outputs[1:], outputs[2:] + outputs[:1]]

        def claim(number: int) -> str:
            try:
                s3.claim_all(shares[number], {"job": number})
            except LaunchError as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(4) as pool:
            errors = list(pool.map(claim, range(4)))
        assert errors.count("") == 1

    def test_of_several_outputs_names_those_that_stay_claimed(self) -> None:
        store("results/c/a.csv")
        outputs = [f"s3://{BUCKET}/results/{name}" for name in "dcba"]
        with pytest.raises(LaunchError, match="c already holds files") as caught:
            s3.claim_all(outputs, {"job": 1})
        assert f"stay claimed: {outputs[3]}, {outputs[2]}" in str(caught.value)
        assert set(stored("results/")) == {"a.launch.json", "b.launch.json", "c/a.csv"}

    def test_of_the_first_of_several_outputs_fails_like_any(self) -> None:
        store("results/a/a.csv")
        with pytest.raises(LaunchError) as caught:
            s3.claim_all([f"s3://{BUCKET}/results/{name}" for name in "ba"], {})
        assert "stay claimed" not in str(caught.value)
        assert set(stored("results/")) == {"a/a.csv"}

    def test_is_rejected_when_it_is_not_allowed(self, faults: Faults) -> None:
        faults.fail("PutObject", "AccessDenied")
        with pytest.raises(LaunchError, match="PutObject: AccessDenied"):
            s3.claim(OUTPUT, {})


class TestDownload:
    def test_copies_what_is_below_an_address(self, faults: Faults, tmp_path: Path) -> None:
        for name, body in FILES.items():
            store(f"raw/{name}", body)
        store("raw2/other.csv")
        store("raw/empty/", b"")
        s3.download(f"s3://{BUCKET}/raw", tmp_path)
        assert content(tmp_path) == FILES
        assert faults.calls["GetObject"] == len(FILES)
        assert faults.calls["HeadObject"] == 0

    @pytest.mark.parametrize(
        "key",
        [
            "../outside.csv",
            "a/../../outside.csv",
            "..",
            "a/..",
            "/absolute.csv",
            "a//b.csv",
            "./a.csv",
            "a/./b.csv",
        ],
    )
    def test_rejects_a_key_that_is_no_file_in_the_folder(
        self, key: str, faults: Faults, tmp_path: Path
    ) -> None:
        store("raw/a.csv")
        store(f"raw/{key}")
        with pytest.raises(LaunchError) as caught:
            s3.download(f"s3://{BUCKET}/raw", tmp_path)
        assert key in str(caught.value)
        assert content(tmp_path) == {}
        assert faults.calls["GetObject"] == 0

    @pytest.mark.parametrize("key", ["a/b", "a/b/c"])
    def test_rejects_a_key_that_would_be_file_and_folder(self, key: str, tmp_path: Path) -> None:
        for name in ("a", "a.csv", key):
            store(f"raw/{name}")
        with pytest.raises(LaunchError, match=f"'a' is a key, and so is '{key}'"):
            s3.download(f"s3://{BUCKET}/raw", tmp_path)
        assert content(tmp_path) == {}

    def test_rejects_an_address_without_files(self, tmp_path: Path) -> None:
        with pytest.raises(LaunchError, match="raw holds no files"):
            s3.download(f"s3://{BUCKET}/raw", tmp_path)

    @pytest.mark.parametrize("size", [1, 20_000_000])
    def test_rejects_what_changes_meanwhile(
        self, size: int, faults: Faults, tmp_path: Path
    ) -> None:
        store("raw/a.csv", bytes(size))
        faults.intercept("GetObject", lambda _: store("raw/a.csv", b"1" * size), times=1)
        with pytest.raises(LaunchError, match=r"raw/a\.csv was changed meanwhile"):
            s3.download(f"s3://{BUCKET}/raw", tmp_path)

    def test_survives_answers_that_end_half_way(self, faults: Faults, tmp_path: Path) -> None:
        store("raw/a.csv", b"1234")
        faults.truncate("GetObject", times=2)
        s3.download(f"s3://{BUCKET}/raw", tmp_path)
        assert content(tmp_path) == {"a.csv": b"1234"}

    def test_names_a_file_whose_answers_all_end_half_way(
        self, faults: Faults, tmp_path: Path
    ) -> None:
        store("raw/a.csv", b"1234")
        faults.truncate("GetObject")
        with pytest.raises(LaunchError, match=r"raw/a\.csv: "):
            s3.download(f"s3://{BUCKET}/raw", tmp_path)
        assert content(tmp_path) == {}

    def test_names_a_file_that_the_disk_cannot_hold(self, tmp_path: Path) -> None:
        name = "a" * 300
        store(f"raw/{name}")
        with pytest.raises(LaunchError, match="name too long"):
            s3.download(f"s3://{BUCKET}/raw", tmp_path)

    def test_of_a_large_file_is_the_same_file(self, faults: Faults, tmp_path: Path) -> None:
        large = os.urandom(20_000_000)
        store("raw/large.bin", large)
        faults.fail("GetObject", "InternalError", times=1)
        s3.download(f"s3://{BUCKET}/raw", tmp_path)
        assert content(tmp_path) == {"large.bin": large}

    def test_is_interrupted_although_requests_would_be_tried_again(
        self, faults: Faults, tmp_path: Path
    ) -> None:
        for name, body in FILES.items():
            store(f"raw/{name}", body)
        faults.delay("GetObject", 0.2)
        faults.intercept("GetObject", interrupt, times=1)
        faults.disconnect("GetObject")
        with pytest.raises(KeyboardInterrupt):
            s3.download(f"s3://{BUCKET}/raw", tmp_path)
        assert faults.calls["GetObject"] <= 2 * len(FILES)


@pytest.mark.usefixtures("downloads")
class TestFetch:
    def test_leaves_a_local_folder_where_it_is(self, tmp_path: Path) -> None:
        assert s3.fetch(str(tmp_path)) == tmp_path

    def test_downloads_the_same_content_once(self, faults: Faults, downloads: Path) -> None:
        store_result()
        folder = s3.fetch(OUTPUT)
        assert folder.parent == downloads
        assert folder.name.startswith("dataset-")
        assert content(folder) == {**RESULT, "job.json": record()}
        faults.clear()
        assert s3.fetch(f"{OUTPUT}/") == folder
        assert faults.calls == {"ListObjectsV2": 1}
        assert list(downloads.iterdir()) == [folder]

    def test_downloads_changed_content_to_another_folder(self) -> None:
        store("raw/a.csv", b"1")
        store("raw/b.csv", b"1")
        before = s3.fetch(f"s3://{BUCKET}/raw")
        store("raw/a.csv", b"2")
        after = s3.fetch(f"s3://{BUCKET}/raw")
        assert content(before) == {"a.csv": b"1", "b.csv": b"1"}
        assert content(after) == {"a.csv": b"2", "b.csv": b"1"}

    def test_rejects_a_download_that_was_changed(self) -> None:
        store("raw/a.csv", b"1")
        folder = s3.fetch(f"s3://{BUCKET}/raw")
        write(folder, {"b.csv": b"2"})
        with pytest.raises(LaunchError, match=r"b\.csv was changed"):
            s3.fetch(f"s3://{BUCKET}/raw")
        assert content(folder) == {"a.csv": b"1", "b.csv": b"2"}

    @pytest.mark.parametrize("name", ["a.csv", "x/b.csv"])
    def test_rejects_a_download_that_was_changed_to_the_same_size(self, name: str) -> None:
        store("raw/a.csv", b"1")
        store("raw/x/b.csv", b"1")
        folder = s3.fetch(f"s3://{BUCKET}/raw")
        (folder / name).chmod(0o644)
        write(folder, {name: b"2"})
        with pytest.raises(LaunchError, match=f"{name} was changed.*remove {folder}"):
            s3.fetch(f"s3://{BUCKET}/raw")
        shutil.rmtree(folder)
        assert content(s3.fetch(f"s3://{BUCKET}/raw")) == {"a.csv": b"1", "x/b.csv": b"1"}

    def test_makes_files_that_nobody_may_write(self) -> None:
        store("raw/x/a.csv", b"1")
        file = s3.fetch(f"s3://{BUCKET}/raw") / "x" / "a.csv"
        assert file.stat().st_mode & 0o777 == 0o444

    @pytest.mark.parametrize("after", range(len(RESULT) + 2))
    def test_leaves_nothing_after_a_failure_at_any_file(
        self, after: int, faults: Faults, downloads: Path
    ) -> None:
        store_result()
        faults.fail("GetObject", "AccessDenied", after=after)
        with pytest.raises(LaunchError, match="GetObject: AccessDenied"):
            s3.fetch(OUTPUT)
        assert not downloads.exists() or list(downloads.iterdir()) == []
        faults.clear()
        assert content(s3.fetch(OUTPUT)) == {**RESULT, "job.json": record()}

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"part/a.csv": b"1"}, "rest/b.csv is missing"),
            ({**RESULT, "rest/b.csv": b"2"}, "rest/b.csv has 1 bytes"),
            ({**RESULT, "rest/c.csv": b"1"}, "rest/c.csv is not in the record"),
        ],
    )
    def test_rejects_a_result_that_is_not_complete_before_the_download(
        self, files: Mapping[str, bytes], message: str, faults: Faults, downloads: Path
    ) -> None:
        store_result(files)
        with pytest.raises(LaunchError, match=message):
            s3.fetch(OUTPUT)
        assert faults.calls["GetObject"] == 1
        assert not downloads.exists()

    def test_rejects_a_result_of_which_a_host_is_missing(self, downloads: Path) -> None:
        store_result(records={"job-algo-1.json": record(hosts=2)})
        with pytest.raises(LaunchError, match="1 hosts instead of 2"):
            s3.fetch(OUTPUT)
        assert not downloads.exists()

    def test_rejects_a_result_whose_content_was_changed(self, downloads: Path) -> None:
        store_result({**RESULT, "rest/b.csv": b"23"})
        with pytest.raises(LaunchError, match=r"rest/b\.csv was changed"):
            s3.fetch(OUTPUT)
        assert list(downloads.iterdir()) == []

    def test_is_not_lost_to_a_launch_that_fetches_the_same(
        self, faults: Faults, downloads: Path
    ) -> None:
        store_result()
        faults.delay("GetObject", 0.02)
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(s3.fetch, [OUTPUT] * 4))
        (folder,) = found
        assert content(folder) == {**RESULT, "job.json": record()}
        assert list(downloads.iterdir()) == [folder]

    def test_downloads_one_object_to_a_file(self, faults: Faults, downloads: Path) -> None:
        store("raw/a.csv", b"1")
        store("raw/b.csv", b"2")
        file = s3.fetch(f"s3://{BUCKET}/raw/a.csv")
        assert (file.name, file.read_bytes()) == ("a.csv", b"1")
        assert content(downloads) == {f"{file.parent.name}/a.csv": b"1"}
        faults.clear()
        assert s3.fetch(f"s3://{BUCKET}/raw/a.csv") == file
        assert not faults.calls["GetObject"]
        store("raw/a.csv", b"3")
        assert s3.fetch(f"s3://{BUCKET}/raw/a.csv").read_bytes() == b"3"
        assert file.read_bytes() == b"1"

    def test_downloads_an_object_at_the_top_of_the_bucket(self) -> None:
        store("a.csv", b"1")
        assert s3.fetch(f"s3://{BUCKET}/a.csv").read_bytes() == b"1"

    @pytest.mark.parametrize("name", ["a.csv", "job.json"])
    def test_rejects_a_downloaded_object_that_was_changed(self, name: str) -> None:
        store(f"raw/{name}", b"1")
        file = s3.fetch(f"s3://{BUCKET}/raw/{name}")
        file.chmod(0o644)
        file.write_bytes(b"2")
        with pytest.raises(LaunchError, match=f"{name} was changed"):
            s3.fetch(f"s3://{BUCKET}/raw/{name}")

    def test_never_names_a_temporary_folder(self, faults: Faults, downloads: Path) -> None:
        store_result({**RESULT, "rest/b.csv": b"23"})
        with pytest.raises(LaunchError) as error:
            s3.fetch(OUTPUT)
        assert OUTPUT in str(error.value)
        assert ".launch-" not in str(error.value)
        store(f"long/{'n' * 300}")
        with pytest.raises(LaunchError, match="File name too long") as error:
            s3.fetch(f"s3://{BUCKET}/long")
        assert ".launch-" not in str(error.value)
        assert faults.calls
        assert downloads.exists()

    def test_never_makes_a_folder_that_is_taken_for_a_temporary_one(self, downloads: Path) -> None:
        store(".launch-data/a.csv")
        folder = s3.fetch(f"s3://{BUCKET}/.launch-data")
        assert folders.abandoned(downloads) == []
        assert content(folder) == {"a.csv": b"1"}


class TestListing:
    def test_has_what_is_below_the_prefix_in_the_order_of_s3(self) -> None:
        for key in ("raw/b.csv", "raw/a/c.csv", "raw/a.csv", "raw/folder/", "raw2/d.csv"):
            store(key, b"12")
        found = s3.listing(f"s3://{BUCKET}/raw")
        assert [item.name for item in found] == ["a.csv", "a/c.csv", "b.csv"]
        assert {item.size for item in found} == {2}

    def test_has_more_files_than_one_answer_holds(
        self, faults: Faults, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
        names = ["a.csv", "b.csv", "c.csv", "d.csv", "e.csv"]
        for name in names:
            store(f"raw/{name}")
        assert [item.name for item in s3.listing(f"s3://{BUCKET}/raw")] == names
        assert faults.calls["ListObjectsV2"] == 3

    def test_finds_the_object_whose_key_an_address_is(self) -> None:
        store("raw/a.csv", b"12")
        item = s3.object_at(f"s3://{BUCKET}/raw/a.csv")
        assert item is not None
        assert (item.name, item.size) == ("a.csv", 2)
        for address in ("raw", "raw/", "raw/a.cs", "raw/b.csv", ""):
            assert s3.object_at(f"s3://{BUCKET}/{address}") is None

    @pytest.mark.parametrize("other", ["a.csv.bak", "a.csv/b.csv", "a.csv2"])
    def test_rejects_an_object_whose_key_begins_another(self, other: str) -> None:
        store("raw/a.csv")
        store(f"raw/{other}")
        with pytest.raises(LaunchError, match=rf"raw/{other}.*copy the object"):
            s3.object_at(f"s3://{BUCKET}/raw/a.csv")

    def test_reads_one_object(self) -> None:
        store("raw/a.csv", b"12")
        assert s3.read(f"s3://{BUCKET}/raw", "a.csv") == b"12"
        with pytest.raises(LaunchError, match="NoSuchKey"):
            s3.read(f"s3://{BUCKET}/raw", "b.csv")


class TestFingerprint:
    def test_changes_with_names_and_contents_only(self) -> None:
        address = f"s3://{BUCKET}/raw"
        store("raw/a.csv", b"1")
        first = s3.fingerprint(address)
        store("raw/a.csv", b"1")
        store("raw2/b.csv", b"1")
        assert s3.fingerprint(address) == first
        store("raw/a.csv", b"2")
        second = s3.fingerprint(address)
        store("raw/b.csv", b"2")
        assert len({first, second, s3.fingerprint(address)}) == 3

    def test_of_one_object_changes_with_its_content(self) -> None:
        address = f"s3://{BUCKET}/raw/a.csv"
        store("raw/a.csv", b"1")
        store("raw/b.csv", b"1")
        first = s3.fingerprint(address)
        store("raw/b.csv", b"2")
        assert s3.fingerprint(address) == first
        store("raw/a.csv", b"2")
        assert s3.fingerprint(address) != first

    def test_needs_files(self) -> None:
        with pytest.raises(LaunchError, match="holds no files"):
            s3.fingerprint(f"s3://{BUCKET}/raw")


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


class TestKey:
    """What is uploaded is encrypted with the KMS key of the outputs."""

    @pytest.fixture
    def large(self, tmp_path: Path) -> folders.Snapshot:
        return folders.snapshot(write(tmp_path / "large", {"a.csv": b"1", "b": bytes(9_000_000)}))

    def keys(self, faults: Faults) -> dict[str, set[tuple[str | None, str | None]]]:
        """Return how the objects that were written are encrypted, by operation."""
        names = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")
        return {
            operation: {(each.get(names[0]), each.get(names[1])) for each in headers}
            for operation, headers in faults.headers.items()
            if operation in ("PutObject", "CreateMultipartUpload")
        }

    def test_encrypts_inputs_and_their_list(self, faults: Faults, large: folders.Snapshot) -> None:
        s3.upload(large, KEY)
        expected = {("aws:kms", KEY)}
        assert self.keys(faults) == {"PutObject": expected, "CreateMultipartUpload": expected}
        assert faults.calls["PutObject"] == 2  # a file, and the list of files

    def test_encrypts_results(self, faults: Faults, large: folders.Snapshot) -> None:
        s3.publish(large.folder, OUTPUT, KEY)
        expected = {("aws:kms", KEY)}
        assert self.keys(faults) == {"PutObject": expected, "CreateMultipartUpload": expected}

    def test_encrypts_claims(self, faults: Faults) -> None:
        s3.claim_all([OUTPUT, f"{OUTPUT}-2"], {}, KEY)
        assert self.keys(faults) == {"PutObject": {("aws:kms", KEY)}}

    def test_is_the_default_of_the_bucket_otherwise(
        self, faults: Faults, large: folders.Snapshot
    ) -> None:
        s3.upload(large)
        s3.publish(large.folder, OUTPUT)
        s3.claim(f"{OUTPUT}-2", {})
        none = {(None, None)}
        assert self.keys(faults) == {"PutObject": none, "CreateMultipartUpload": none}

    @pytest.mark.parametrize(
        ("code", "message", "advice"),
        [
            (
                "AccessDenied",
                f"User: arn:aws:iam::1:user/x is not authorized to perform: kms:GenerateDataKey on "
                f"resource: {KEY} because no identity-based policy allows it",
                "arn:aws:iam::1:user/x.*policy of the KMS key allow kms:GenerateDataKey",
            ),
            ("KMS.DisabledException", f"{KEY} is disabled.", f"{KEY} is disabled.*KmsKeyId"),
            ("KMS.NotFoundException", f"Key '{KEY}' does not exist", "does not exist.*KmsKeyId"),
            (
                "KMS.KMSInvalidStateException",
                f"{KEY} is pending deletion.",
                "pending deletion.*KmsKeyId",
            ),
        ],
    )
    def test_that_cannot_be_used_is_reported(
        self, code: str, message: str, advice: str, faults: Faults, large: folders.Snapshot
    ) -> None:
        faults.fail("PutObject", code, message=message)
        with pytest.raises(LaunchError, match=f"{code}: .*{advice}") as caught:
            s3.upload(large, KEY)
        assert "somebody else" not in str(caught.value)


class TestOwner:
    """A bucket is used only if the expected account owns it."""

    OTHER = "210987654321"

    def test_is_expected_in_every_request(
        self, faults: Faults, tmp_path: Path, downloads: Path
    ) -> None:
        assert not downloads.exists()
        files = {"a.csv": b"1", "b": os.urandom(20_000_000)}
        snapshot = folders.snapshot(write(tmp_path / "data", files))
        s3.claim(OUTPUT, {})
        s3.upload(snapshot)
        s3.publish(snapshot.folder, OUTPUT)
        s3.download(OUTPUT, write(tmp_path / "copy", {}))
        s3.fetch(OUTPUT)
        s3.listing(OUTPUT)
        s3.read(OUTPUT, "a.csv")
        s3.object_at(f"{OUTPUT}/a.csv")
        clients.client("s3").head_bucket(Bucket=BUCKET)
        s3.claim(f"{OUTPUT}-2", {})
        with pytest.raises(LaunchError, match="another launch"):
            s3.claim(f"{OUTPUT}-2", {})
        sent = {
            operation: {each.get("x-amz-expected-bucket-owner") for each in headers}
            for operation, headers in faults.headers.items()
        }
        assert sent.keys() >= {"PutObject", "CreateMultipartUpload", "UploadPart"}
        assert sent.keys() >= {"CompleteMultipartUpload", "ListObjectsV2", "GetObject"}
        assert sent == {operation: {ACCOUNT} for operation in sent}

    @pytest.mark.parametrize(
        "use",
        [
            lambda data: s3.upload(data),
            lambda data: s3.publish(data.folder, OUTPUT),
            lambda _: s3.claim(OUTPUT, {}),
            lambda _: s3.check_new(OUTPUT),
            lambda data: s3.download(OUTPUT, data.folder),
            lambda _: s3.fetch(OUTPUT),
            lambda _: s3.listing(OUTPUT),
            lambda _: s3.read(OUTPUT, "job.json"),
        ],
        ids=["upload", "publish", "claim", "check", "download", "fetch", "list", "read"],
    )
    def test_is_the_account_of_the_role(
        self,
        use: Callable[[folders.Snapshot], object],
        faults: Faults,
        snapshot: folders.Snapshot,
    ) -> None:
        store_result()
        before = stored()
        faults.owners[BUCKET] = self.OTHER
        problem = rf"{BUCKET} does not belong to account {ACCOUNT}.*\[buckets\] in launch.toml"
        with pytest.raises(LaunchError, match=problem):
            use(snapshot)
        assert stored() == before
        assert not faults.calls["GetCallerIdentity"]

    def test_is_said_where_an_answer_has_no_text(self, faults: Faults) -> None:
        faults.owners[BUCKET] = self.OTHER
        with (
            pytest.raises(LaunchError, match=f"HeadBucket: 403: .*belong to account {ACCOUNT}"),
            errors.as_launch_error(BUCKET),
        ):
            clients.client("s3").head_bucket(Bucket=BUCKET)

    def test_is_named_in_launch_toml(self, faults: Faults, small_project: Path) -> None:
        store("results/dataset/a.csv")
        faults.owners[BUCKET] = self.OTHER
        (small_project / "launch.toml").write_text(f'[buckets]\n{BUCKET} = "{self.OTHER}"\n')
        assert [item.name for item in s3.listing(OUTPUT)] == ["a.csv"]
        (small_project / "launch.toml").write_text(f'[buckets]\nx = "{self.OTHER}"\n')
        with pytest.raises(LaunchError, match=f"belong to account {ACCOUNT}"):
            s3.listing(OUTPUT)

    @pytest.mark.parametrize("role", ["", "sagemaker", "arn:aws:iam::x:role/sagemaker"])
    def test_is_the_account_of_the_caller_without_a_role(
        self, role: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAGEMAKER_ROLE_ARN", role)
        store("results/dataset/a.csv")
        assert len(s3.listing(OUTPUT)) == 1
        assert faults.headers["ListObjectsV2"][0]["x-amz-expected-bucket-owner"] == ACCOUNT
        assert faults.calls["GetCallerIdentity"] == 1

    def test_is_the_account_of_a_role_with_a_path(
        self, faults: Faults, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAGEMAKER_ROLE_ARN", f"arn:aws-cn:iam::{self.OTHER}:role/a/b/jobs")
        faults.owners[BUCKET] = self.OTHER
        assert s3.listing(OUTPUT) == []

    def test_is_not_blamed_for_a_missing_permission(self, faults: Faults) -> None:
        message = "User: x is not authorized to perform: s3:ListBucket on resource: y"
        faults.fail("ListObjectsV2", "AccessDenied", message=message)
        with pytest.raises(LaunchError, match="not authorized to perform: s3:ListBucket") as caught:
            s3.listing(OUTPUT)
        assert "[buckets]" not in str(caught.value)


class TestAddresses:
    def test_of_a_run_and_of_an_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("S3_BUCKET", "bucket")
        assert s3.input_address("abc") == f"s3://bucket/{project.name()}/inputs/abc/"
        assert s3.run_address("r", "j", "c") == f"s3://bucket/{project.name()}/runs/r/j/c"

    def test_split_into_bucket_and_prefix(self) -> None:
        assert s3.split("s3://bucket/a/b") == s3.split("s3://bucket/a/b/") == ("bucket", "a/b/")
        assert s3.split("s3://bucket") == ("bucket", "")


class TestErrors:
    """The explanations of errors that occur before a request is sent."""

    @pytest.mark.parametrize(
        "error", [UnauthorizedSSOTokenError(), SSOTokenLoadError(error_msg="")]
    )
    def test_says_that_a_login_has_expired(self, error: Exception) -> None:
        with pytest.raises(LaunchError, match="aws sso login"), errors.as_launch_error(OUTPUT):
            raise error

    def test_names_a_profile_that_does_not_exist(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
        with pytest.raises(SetupError, match="no-such-profile"):
            s3.listing(OUTPUT)

    def test_asks_for_a_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_REGION")
        with pytest.raises(SetupError, match="AWS_REGION"):
            s3.listing(OUTPUT)

    @pytest.mark.parametrize("code", ["", "403"])
    def test_shortens_the_page_of_a_proxy(self, code: str) -> None:
        page = f"<html>\n<body>Blocked by the proxy.{'<p>More.</p>' * 1000}\n</body>"
        error = ClientError({"Error": {"Code": code, "Message": page}}, "GetProducts")
        with pytest.raises(LaunchError) as caught, errors.as_launch_error(OUTPUT):
            raise error
        (line,) = str(caught.value).splitlines()
        assert "Blocked by the proxy." in line
        assert len(line) < len(page) / 5

    def test_leaves_other_errors_alone(self) -> None:
        with pytest.raises(ZeroDivisionError), errors.as_launch_error(OUTPUT):
            raise ZeroDivisionError

    def test_gives_up_on_an_endpoint_after_a_minute_and_a_half_at_most(self) -> None:
        config = clients.client("sagemaker").meta.config
        attempts = config.retries["total_max_attempts"]
        assert attempts * (config.connect_timeout + config.read_timeout) <= 90

    def test_looks_at_the_console_of_the_region(self) -> None:
        assert REGION in clients.console()


def test_outputs_that_are_not_in_s3_have_no_address() -> None:
    outputs = [
        {"OutputName": "model", "S3Output": {"S3Uri": "s3://b/model"}},
        {"OutputName": "features", "FeatureStoreOutput": {"FeatureGroupName": "g"}},
    ]
    found = s3.output_addresses({"ProcessingOutputConfig": {"Outputs": outputs}})
    assert found == {"model": "s3://b/model"}
    assert s3.output_addresses({}) == {}

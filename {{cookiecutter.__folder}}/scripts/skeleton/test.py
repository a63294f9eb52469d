from pathlib import Path

import pytest

from package import runtime
from package.skeleton import SkeletonHandler


@pytest.mark.parametrize("hosts", [1, 2, 5])
def test_hosts_list_every_file_once(tmp_path: Path, hosts: int) -> None:
    source, output = tmp_path / "input", tmp_path / "output"
    names = ["a.csv", "b/c.csv", "b/d"]
    for name in [*names, "job.json"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name, encoding="utf-8")
    output.mkdir()
    for index in range(hosts):
        host = runtime.Host(name=f"algo-{index + 1}", index=index, count=hosts)
        SkeletonHandler(host=host).run(source, output)
    lists = sorted(output.iterdir())
    assert len(lists) == hosts
    listed = [line for file in lists for line in file.read_text(encoding="utf-8").splitlines()]
    assert sorted(listed) == names


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(runtime.JobError, match=str(tmp_path)):
        SkeletonHandler().run(tmp_path, tmp_path)

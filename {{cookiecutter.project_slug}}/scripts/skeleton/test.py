from pathlib import Path

import pytest

from package import runtime
from package.skeleton import SkeletonHandler


@pytest.mark.parametrize("hosts", [1, 2, 5])
def test_hosts_list_every_file_once(raw: Path, tmp_path: Path, hosts: int) -> None:
    for index in range(hosts):
        host = runtime.Host(name=f"algo-{index + 1}", index=index, count=hosts)
        SkeletonHandler(host=host).run(raw, tmp_path)
    lists = sorted(tmp_path.iterdir())
    assert len(lists) == hosts
    listed = [line for file in lists for line in file.read_text().splitlines()]
    assert sorted(listed) == sorted(file.name for file in raw.iterdir())


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(runtime.JobError, match=str(tmp_path)):
        SkeletonHandler().run(tmp_path, tmp_path)

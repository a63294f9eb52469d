"""Lists the files of a folder."""

from pathlib import Path

from .runtime import Host, record_names


class SkeletonHandler:
    """Lists the files of a folder. Each host lists its share."""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or Host()

    def run(self, input_path: Path, output_path: Path) -> None:
        """Write ``<host>.txt``: the paths of this host's files below the input, one per line.

        Records of the job that wrote the input are left out.

        Raises:
            JobError: There are no files.
        """
        files = [path for path in self._host.files(input_path, "*") if path.is_file()]
        names = [file.relative_to(input_path).as_posix() for file in files]
        records = record_names(names)
        lines = [f"{name}\n" for name in names if name not in records]
        (output_path / f"{self._host.name}.txt").write_text("".join(lines), encoding="utf-8")

"""The generated preprocess on 1, 10 and 100 times a table of 56 MB, alone and shared by hosts.

``python benchmarks/scale.py`` prints the tables of ``docs/scale.md``. It takes 15 to 30 minutes and
9 GB of the temporary folder (``TMPDIR``), which it gives back even when it is stopped. The data are
the penguins, repeated with noise. Peak memory is the resident set as the kernel counts it.
"""

import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from timing import generate, shell

ROWS, SIZES = 1_000_000, (1, 10, 100)
ROUNDS = {1: 5, 10: 3, 100: 1}
MAKE = """
import json, sys
from pathlib import Path
import numpy, polars

penguins = polars.read_csv("data/penguins/*.csv", null_values="NA")
measures = polars.selectors.numeric().exclude("year")
for seed, (name, rows) in enumerate(json.loads(sys.argv[1]).items()):
    noise = polars.Series(numpy.random.default_rng(seed).normal(1, 0.02, rows))
    table = penguins.sample(rows, with_replacement=True, seed=seed)
    table = table.with_columns((measures * noise).round(3))
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    table.write_csv(name, null_value="NA")
"""


class Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    megabytes: float
    """At the peak, of the process that uses most."""
    rows: list[int]
    """That were read, by host."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        project = generate(scratch)
        shell(project, "make", "install")
        one, many = scratch / "one", scratch / "many"
        make(project, one, many)
        print_hosts(project, {"equal": repeat(one / "1" / "part.csv", 20), "unequal": many / "100"})
        print_sizes(project, many)
        for size in SIZES[1:]:
            join(many / str(size), one / str(size) / "all.csv")
            if size == SIZES[-1]:
                shutil.rmtree(many)
        print_sizes(project, one)


def make(project: Path, one: Path, many: Path) -> None:
    """One table of ``ROWS``; 10 and 100 tables of 10 and 100 times as many, give or take 25 %."""
    tables = {str(one / "1" / "part.csv"): ROWS}
    for half in range(50):
        more = random.Random(half).randrange(ROWS // 4)  # noqa: S311
        for number, rows in enumerate((ROWS + more, ROWS - more)):
            tables[str(many / "100" / f"{number}{half:02}.csv")] = rows
    shell(project, project / ".venv" / "bin" / "python", "-c", MAKE, json.dumps(tables))
    link([one / "1" / "part.csv"], many / "1")
    link(sorted((many / "100").glob("?0[0-4].csv")), many / "10")


def link(tables: Sequence[Path], folder: Path) -> Path:
    folder.mkdir()
    for number, table in enumerate(tables):
        os.link(table, folder / f"{number:03}.csv")
    return folder


def repeat(table: Path, times: int) -> Path:
    return link([table] * times, table.parents[1] / f"{times} times")


def join(tables: Path, whole: Path) -> None:
    """One table with the rows of all."""
    whole.parent.mkdir()
    with whole.open("wb") as target:
        for number, table in enumerate(sorted(tables.iterdir())):
            with table.open("rb") as source:
                header = source.readline()
                target.write(b"" if number else header)
                shutil.copyfileobj(source, target, 1 << 20)


def run(folder: Path, *command: str | Path) -> Cost:
    """Run a job that prints how many rows it read, and count what it used."""
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            raise
        seconds = time.perf_counter() - started
        log.seek(0)
        text = log.read()
    if status:
        raise SystemExit(text)
    unit = 1e6 if sys.platform == "darwin" else 1e3
    rows = [int(count) for count in re.findall(r"kept \d+ of (\d+) rows", text)]
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, rows)


def preprocess(project: Path, tables: Path) -> Cost:
    output = project / "out" / "benchmark"
    paths = ("--input_path", tables, "--output_path", output)
    cost = run(project, ".venv/bin/python", "-u", "entrypoints/preprocess.py", *paths)
    shutil.rmtree(output)
    return cost


def print_sizes(project: Path, layout: Path) -> None:
    costs = {
        size: [preprocess(project, layout / str(size)) for _ in range(ROUNDS[size])]
        for size in SIZES
    }
    seconds = [statistics.median(cost.seconds for cost in costs[size]) for size in SIZES]
    megabytes = [statistics.median(cost.megabytes for cost in costs[size]) for size in SIZES]
    print(
        f"\n| {layout.name} | 1x | 10x | 100x | 100x / 1x | goal |\n|---|---:|---:|---:|---:|---:|"
    )
    for what, values, goal in (("s", seconds, 100), ("peak MB", megabytes, 1.3)):
        cells = [f"{value:.1f}" for value in values]
        print(
            f"| {what} | {' | '.join(cells)} | {values[-1] / values[0]:.2f} | {goal} |", flush=True
        )


def print_hosts(project: Path, layouts: dict[str, Path]) -> None:
    print("| hosts | tables | dealt out by | longest / fair share | goal | s |")
    print("|---:|---|---|---:|---:|---:|")
    for name, tables in layouts.items():
        for hosts in (2, 4):
            for dealt, options in (("the job", ()), ("key", ("--shard", "input_path"))):
                launch = (".venv/bin/python", "-m", "launch", "preprocess", "--backend", "local")
                what = ("--input_path", tables, "--output_path", "out/hosts")
                cost = run(project, *launch, *what, "--instance_count", str(hosts), *options)
                shutil.rmtree(project / "out" / "hosts")
                ratio = max(cost.rows) * hosts / sum(cost.rows)
                row = f"| {hosts} | {name} | {dealt} | {ratio:.3f} | 1.1 | {cost.seconds:.1f} |"
                print(row, flush=True)


if __name__ == "__main__":
    main()

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
PANDAS = """
import sys
from pathlib import Path
import pandas

rows = pandas.concat([pandas.read_csv(file) for file in sorted(Path(sys.argv[1]).rglob("*.csv"))])
is_test = pandas.util.hash_pandas_object(rows, index=False) / 2**64 < 0.2
used = ["species", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
kept = rows[used].notna().all(axis="columns")
for name, side in (("train", ~is_test), ("test", is_test)):
    Path(sys.argv[2], name).mkdir(parents=True)
    rows.loc[kept & side, used].to_parquet(Path(sys.argv[2], name, "rows.parquet"), index=False)
print(f"kept {kept.sum()} of {len(rows)} rows")
"""
READING = """
import sys
import polars
from penguin_species import dataset

rows = polars.scan_csv(
    f"{sys.argv[1]}/*.csv",
    infer_schema=False,
    schema_overrides=dataset.COLUMNS,
    null_values=[dataset.NULL],
)
print(rows.select(polars.all().null_count()).collect(engine="streaming"))
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
        pandas = install_pandas(scratch)
        one, many = scratch / "one", scratch / "many"
        make(project, one, many)
        print_hosts(project, {"equal": repeat(one / "1" / "part.csv", 20), "unequal": many / "100"})
        print_sizes(project, many)
        for size in SIZES[1:]:
            join(many / str(size), one / str(size) / "all.csv")
            if size == SIZES[-1]:
                shutil.rmtree(many)
        print_sizes(project, one)
        print_pandas(project, pandas, one / "10")


def install_pandas(scratch: Path) -> Path:
    """A Python of its own, so that the project's has no pandas."""
    shell(scratch, sys.executable, "-m", "venv", "pandas")
    python = scratch / "pandas" / "bin" / "python"
    shell(scratch, python, "-m", "pip", "install", "--quiet", "pandas>=3,<4", "pyarrow")
    return python


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


def print_pandas(project: Path, pandas: Path, tables: Path) -> None:
    """In turn, three times. Reading alone bounds whatever a job on Polars can reach."""
    output = project / "out" / "pandas"
    ours, reading, plain = [], [], []
    for _ in range(3):
        ours.append(preprocess(project, tables))
        reading.append(run(project, ".venv/bin/python", "-c", READING, tables))
        plain.append(run(project, pandas, "-c", PANDAS, tables, output))
        shutil.rmtree(output)
    megabytes = sum(table.stat().st_size for table in tables.iterdir()) / 1e6
    print("\n| 10x, one file | s | CPU s | MB/s | peak MB |\n|---|---:|---:|---:|---:|")
    costs_of = {"preprocess": ours, "its reading alone": reading, "pandas": plain}
    for name, costs in costs_of.items():
        seconds = statistics.median(cost.seconds for cost in costs)
        cpu = statistics.median(cost.cpu_seconds for cost in costs)
        peak = statistics.median(cost.megabytes for cost in costs)
        print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {megabytes / seconds:.0f} | {peak:.0f} |")
    pairs = zip(plain, ours, strict=True)
    ratio = statistics.median(other.seconds / own.seconds for other, own in pairs)
    cores = os.cpu_count()
    print(f"\nThroughput on {cores} cores: {ratio:.1f} times that of pandas (goal: 5)", flush=True)


def print_hosts(project: Path, layouts: dict[str, Path]) -> None:
    print("| hosts | tables | dealt out by | longest / fair share | goal | s |")
    print("|---:|---|---|---:|---:|---:|")
    for name, tables in layouts.items():
        for hosts in (2, 4):
            for dealt, options in (("the job", ()), ("key", ("--shard", "input_path"))):
                launch = (".venv/bin/python", "-m", "launch", "preprocess", "--where", "here")
                what = ("--input_path", tables, "--output_path", "out/hosts", "--overwrite")
                cost = run(project, *launch, *what, "--instance_count", str(hosts), *options)
                shutil.rmtree(project / "out" / "hosts")
                ratio = max(cost.rows) * hosts / sum(cost.rows)
                row = f"| {hosts} | {name} | {dealt} | {ratio:.3f} | 1.1 | {cost.seconds:.1f} |"
                print(row, flush=True)


if __name__ == "__main__":
    main()

"""Shows the results of any jobs in a notebook, as tables, images and plots."""

import html
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from IPython.display import HTML, display

from launch.commands.comparison import Comparison
from launch.settings.metric import Metric

MAX_ROWS = 20
"""How many rows of a table are shown."""
MAX_BYTES = 1_000_000
"""The size of the largest JSON file that is shown."""
MAX_CELLS = 100
"""The size of the largest matrix that is shown with its numbers."""


def show_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Show the first rows as a table, with a column for each key."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[str(column) for column in columns]]
    lines += [[_to_text(row.get(column, "")) for column in columns] for row in rows[:MAX_ROWS]]
    cells = ["".join(f"<td>{html.escape(text)}</td>" for text in line) for line in lines]
    cells[0] = cells[0].replace("td>", "th>")
    more = f"<p>… and {len(rows) - MAX_ROWS} more</p>" if len(rows) > MAX_ROWS else ""
    display(HTML(f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>{more}"))


def show_files(folder: Path) -> None:
    """Show the names and sizes of the files in a folder."""
    files = [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in _files(folder)]
    show_table([{"file": name, "bytes": size} for name, size in files])


def show_metric(metric: Metric, value: float) -> None:
    """Show a metric as a bar, with its limit as a line."""
    bound = "maximum" if metric.lower_is_better else "minimum"
    _, axes = plt.subplots(figsize=(6, 1))
    axes.barh([0], [value])
    axes.axvline(metric.limit, color="black", linestyle="--", label=f"{bound} {metric.limit:g}")
    axes.set(title=f"{metric.name} {value:.4g}", yticks=[])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    plt.show()


def show_metric_over_runs(metric: Metric, comparison: Comparison) -> None:
    """Plot the metric of each run that has it, with its limit as a line."""
    numbers = {
        run.name: run.metrics[comparison.metric]
        for run in comparison.runs
        if comparison.metric in run.metrics
    }
    _, axes = plt.subplots(figsize=(6, 3))
    axes.plot(range(len(numbers)), list(numbers.values()), "o-")
    bound = "maximum" if metric.lower_is_better else "minimum"
    axes.axhline(metric.limit, color="black", linestyle="--", label=f"{bound} {metric.limit:g}")
    axes.set(ylabel=metric.name)
    axes.set_xticks(range(len(numbers)), list(numbers), rotation=30, ha="right")
    axes.legend()
    plt.show()


def show_json(folder: Path) -> None:
    """Show the JSON files of a folder, except for records of jobs.

    If a folder contains several objects, they are shown as a table with one row each, and their
    numbers are plotted. Files that are large or not valid JSON are left out.
    """
    contents: dict[Path, dict[str, Any]] = defaultdict(dict)
    records = [*folder.glob("job.json"), *folder.glob("job-*.json")]
    for file in _files(folder):
        if file.suffix == ".json" and file not in records and file.stat().st_size <= MAX_BYTES:
            with suppress(ValueError):
                contents[file.parent][file.name] = json.loads(file.read_text(encoding="utf-8"))
    for parent, by_name in contents.items():
        path = parent.relative_to(folder)
        if len(by_name) > 1 and all(isinstance(content, dict) for content in by_name.values()):
            _show_title((path / "*.json").as_posix())
            show_table([{"file": name} | content for name, content in by_name.items()])
            _plot_numbers(list(by_name.values()))
            continue
        for name, content in by_name.items():
            _show_title((path / name).as_posix())
            _show_value("", content, {})


def _show_title(text: str) -> None:
    display(HTML(f"<b>{html.escape(text)}</b>"))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _to_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_value(key: str, value: Any, parent: Mapping[str, Any]) -> None:
    """Show a JSON value according to its type; ``parent`` is the object with this ``key``."""
    if _is_matrix(value):
        _show_matrix(key, value, parent)
    elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        show_table(value)
    elif isinstance(value, dict) and value and all(isinstance(row, dict) for row in value.values()):
        show_table([{key: name} | row for name, row in value.items()])
    elif isinstance(value, dict):
        single = {name: each for name, each in value.items() if not isinstance(each, list | dict)}
        if single:
            show_table([{key: ""} | single if key else single])
        for name, each in value.items():
            if name not in single:
                _show_value(name, each, value)


def _is_matrix(value: Any) -> bool:
    """Return whether a value is a list of rows of numbers with the same length."""
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(row, list) and row and len(row) == len(value[0]) for row in value)
        and all(isinstance(number, int | float) for row in value for number in row)
    )


def _show_matrix(key: str, matrix: Sequence[Sequence[float]], parent: Mapping[str, Any]) -> None:
    """Show a matrix as an image. Lists of texts in ``parent`` that fit a side become its labels."""
    _, axes = plt.subplots()
    axes.imshow(matrix, cmap="Blues")
    axes.set(title=key)
    for length, set_ticks in ((len(matrix), axes.set_yticks), (len(matrix[0]), axes.set_xticks)):
        for texts in parent.values():
            if isinstance(texts, list) and [type(text) for text in texts] == [str] * length:
                set_ticks(range(length), texts)
    if len(matrix) * len(matrix[0]) <= MAX_CELLS:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7}
        for y, row in enumerate(matrix):
            for x, number in enumerate(row):
                axes.text(x, y, _to_text(number), ha="center", va="center", bbox=box)
    plt.show()


def _plot_numbers(objects: Sequence[Mapping[str, Any]]) -> None:
    """Plot each number that all objects have, except for numbers that only count the objects."""
    for key in objects[0]:
        numbers = [each[key] for each in objects if type(each.get(key)) in (int, float)]
        if len(numbers) == len(objects) and numbers != list(range(len(objects))):
            _, axes = plt.subplots(figsize=(6, 3))
            axes.plot(range(len(numbers)), numbers, "o")
            axes.set(xlabel="file", ylabel=key)
            plt.show()

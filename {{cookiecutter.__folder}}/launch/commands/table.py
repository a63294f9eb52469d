"""Shows entries: as a table that fits a terminal, and as HTML in a notebook."""

import html
from collections.abc import Mapping, Sequence
from datetime import datetime

from ..history.entries import Entry
from ..settings import project

_COLUMNS = (
    *("name", "run", "job", "backend", "status", "started", "time"),
    *("instance", "commit", "outputs"),
)

_DISPENSABLE = ("outputs", "job", "instance", "commit", "run", "backend")
"""Columns that are left out, in this order, while the table is wider than the terminal."""

_MIN_OUTPUTS = 16
"""How far the addresses of outputs are shortened before they are left out."""

_GAP = "  "


def text(entries: Sequence[Entry], width: int | None) -> str:
    """Return a table of entries, one in a line, without columns that are empty.

    Args:
        entries: The entries to show.
        width: Of the terminal, in characters; ``None`` if nothing has to be shortened.
    """
    cells = [_cells(entry) for entry in entries]
    widths = {
        column: max(len(column), *(len(each[column]) for each in cells)) for column in _COLUMNS
    }
    filled = [column for column in _COLUMNS if any(each[column] for each in cells)]
    columns = list(filled)
    if width is not None:
        excess = _width(widths, columns) - width
        if 0 < excess <= widths["outputs"] - _MIN_OUTPUTS:
            widths["outputs"] -= excess
        for column in _DISPENSABLE:
            if column in columns and _width(widths, columns) > width:
                columns.remove(column)
    lines = [{column: column.upper() for column in _COLUMNS}, *cells]
    rows = [
        _GAP.join(_fit(line[column], widths[column]) for column in columns).rstrip()
        for line in lines
    ]
    left_out = [column for column in filled if column not in columns]
    if left_out:
        rows.append(f"(a wider terminal also shows: {', '.join(left_out)}; --json has everything)")
    return "\n".join(rows)


def to_html(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> str:
    """Return a table for a notebook; all texts are escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: left">{html.escape(row.get(column, ""))}</td>'
            for column in columns
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def pairs_to_html(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a table of names and values for a notebook; all texts are escaped."""
    body = "".join(
        f'<tr><th style="text-align: left">{html.escape(name)}</th>'
        f'<td style="text-align: left; white-space: pre-wrap">{html.escape(value)}</td></tr>'
        for name, value in pairs
    )
    return f"<table><tbody>{body}</tbody></table>"


class Entries(list[Entry]):
    """Entries that notebooks and terminals display as a table."""

    def __repr__(self) -> str:
        return text(self, None) if self else "(nothing was launched yet)"

    def _repr_html_(self) -> str:
        return to_html([_cells(entry) for entry in self], _COLUMNS)


def duration(seconds: float) -> str:
    """Return a duration: ``7s``, ``12m 03s`` or ``5h 20m``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def local_time(time: datetime) -> str:
    """Return a time in the zone of this machine."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def place(entry: Entry) -> str:
    """Return where the outputs of an entry are: the folder that they share, or several."""
    addresses = list(entry.outputs.values())
    if len(addresses) > 1:
        parts = [address.split("/") for address in addresses]
        shared = []
        for each in zip(*parts, strict=False):
            if len(set(each)) > 1:
                break
            shared.append(each[0])
        if len(shared) > 2 + addresses[0].startswith("s3://"):
            return _relative("/".join(shared))
    return " ".join(map(_relative, addresses))


def _cells(entry: Entry) -> dict[str, str]:
    return {
        "name": entry.short_name,
        "run": "" if entry.names_run else entry.run,
        "job": entry.job,
        "backend": entry.backend,
        "status": entry.status,
        "started": local_time(entry.started),
        "time": duration(entry.seconds) if entry.ended or entry.is_running else "",
        "instance": entry.instance,
        "commit": project.short_stamp(entry.commit) if entry.commit else "",
        "outputs": place(entry),
    }


def _relative(address: str) -> str:
    """Return an address as a user types it in the repository."""
    return address.removeprefix(f"{project.ROOT}/")


def _fit(value: str, width: int) -> str:
    if len(value) > width:
        return "…" + value[len(value) - width + 1 :]
    return value.ljust(width)


def _width(widths: Mapping[str, int], columns: Sequence[str]) -> int:
    return sum(widths[column] for column in columns) + len(_GAP) * (len(columns) - 1)

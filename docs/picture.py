"""Draw ``docs/demo.svg``: what ``make demo`` prints, taken from a run of it.

``python docs/picture.py`` runs the demo again. Lines of the log lose their date, and of the
progress the end is kept.
"""

import io
import re
import subprocess
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 100
FONT = re.compile(r"@font-face \{.*?\}\s*", flags=re.DOTALL)


def main() -> None:
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print("[bold]$ make demo[/bold]")
    for line in shown(done.stdout.decode()):
        console.print(Text(line), no_wrap=True, overflow="ellipsis", highlight=False)
    picture = console.export_svg(title="make demo")
    (ROOT / "docs" / "demo.svg").write_text(FONT.sub("", picture))


def shown(output: str) -> list[str]:
    """The lines that the picture has."""
    lines = [
        re.sub(r"^\d{4}-\d\d-\d\d ([\d:]+),\d+ ", r"\1 ", line) for line in output.splitlines()
    ]
    return [line for line in lines if not re.search(r" \d?\d%\|", line)]


if __name__ == "__main__":
    main()

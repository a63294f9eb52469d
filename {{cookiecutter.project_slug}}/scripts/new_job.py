"""Start a job: copy the files of ``scripts/skeleton/`` to their places, under the job's name."""

import importlib.util
import keyword
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = next(ROOT.glob("src/*/runtime")).parent.name
NEXT = """
  make check
  make run
  .venv/bin/python -m launch {name} --help

In the notebook: launch("{name}", backend=backend, input_path=dataset, run_name=run_name)"""


def refusal(name: str, targets: Iterable[Path]) -> str | None:
    """Return why there cannot be a job of this name, or ``None``."""
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        return "it must be lower-case words: make job NAME=evaluate_model"
    if keyword.iskeyword(name) or importlib.util.find_spec(name):
        return "Python would import it instead of another module: choose another name"
    if name in ("clean", "deploy", "pipeline"):
        return "it is a verb of launch: choose another name"
    if exist := [str(target.relative_to(ROOT)) for target in targets if target.exists()]:
        return f"{exist[0]} exists already: choose another name"
    return None


def add_to_make_run(name: str) -> None:
    """Add the job to ``make run``, after the others and on the output of preprocess."""
    channels = f"--input_path $(OUT)/dataset --output_path $(OUT)/{name}"
    line = f"\t$(RUN) entrypoints/{name}.py {channels}\n"
    makefile = ROOT / "Makefile"
    text = makefile.read_text(encoding="utf-8")
    if jobs := re.findall(r"^\t\$\(RUN\) .*\n", text, re.MULTILINE):
        makefile.write_text(text.replace(jobs[-1], jobs[-1] + line), encoding="utf-8")


def main(name: str) -> None:
    skeletons = {
        f"entrypoints/{name}.py": "entrypoint.py",
        f"src/{PACKAGE}/{name}.py": "handler.py",
        f"tests/test_{name}.py": "test.py",
    }
    if reason := refusal(name, [ROOT / path for path in skeletons]):
        sys.exit(f"There can be no job {name!r}: {reason}")
    names = {"Skeleton": name.title().replace("_", ""), "skeleton": name, "package": PACKAGE}
    for path, skeleton in skeletons.items():
        text = (ROOT / "scripts" / "skeleton" / skeleton).read_text(encoding="utf-8")
        text = re.sub("|".join(names), lambda match: names[match.group()], text)
        (ROOT / path).write_text(text, encoding="utf-8")
    # A long name may need another line.
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", *skeletons], cwd=ROOT, check=True)
    add_to_make_run(name)
    print(*skeletons, NEXT.format(name=name), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])

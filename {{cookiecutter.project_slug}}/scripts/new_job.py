"""Start a job: copy ``scripts/skeleton/`` over the repository, under the name of the job."""

import importlib.util
import keyword
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SKELETON = ROOT / "scripts" / "skeleton"
NEXT = """
  make test
  make run
  .venv/bin/python -m launch {name} --help

In the notebook: launch("{name}", where=where, input_path=dataset, run_name=run_name)"""


def refusal(name: str, targets: Iterable[Path]) -> str | None:
    """Why there cannot be a job of this name, if there cannot."""
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        return "it must be lower-case words: make job NAME=evaluate_model"
    if keyword.iskeyword(name) or importlib.util.find_spec(name):
        return "Python would import it in the place of something else: choose another name"
    if name == "pipeline":
        return "launch runs all the jobs by this name: choose another name"
    if exist := [str(target.relative_to(ROOT)) for target in targets if target.exists()]:
        return f"{exist[0]} exists already: choose another name"
    return None


def add_to_make_run(name: str) -> None:
    """Have ``make run`` run the job after its others, on what preprocess wrote."""
    line = f"\t$(RUN) entrypoints/{name}.py --input_path out/dataset --output_path out/{name}\n"
    makefile = ROOT / "Makefile"
    text = makefile.read_text(encoding="utf-8")
    if jobs := re.findall(r"^\t\$\(RUN\) .*\n", text, re.MULTILINE):
        makefile.write_text(text.replace(jobs[-1], jobs[-1] + line), encoding="utf-8")


def main(name: str) -> None:
    skeletons = sorted(SKELETON.rglob("*.py"))
    paths = [str(file.relative_to(SKELETON)).replace("skeleton", name) for file in skeletons]
    if reason := refusal(name, [ROOT / path for path in paths]):
        sys.exit(f"There can be no job {name!r}: {reason}")
    for path, skeleton in zip(paths, skeletons, strict=True):
        text = skeleton.read_text(encoding="utf-8")
        text = text.replace("Skeleton", name.title().replace("_", "")).replace("skeleton", name)
        (ROOT / path).write_text(text, encoding="utf-8")
    # A long name may need another line.
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", *paths], cwd=ROOT, check=True)
    add_to_make_run(name)
    print(*paths, NEXT.format(name=name), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""How many calls of AWS a launch makes, and ten minutes of following.

    .venv/bin/python benchmarks/calls.py

The tests of a generated project count them, with time that passes only while a launch sleeps, and
hold them to their limits: ``tests/machinery/test_calls.py``. This prints what they count.
"""

import json
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from timing import generate, shell

TESTS = "tests/machinery/test_calls.py"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "generated").mkdir()
        project = generate(Path(folder) / "generated")
        shell(project, "make", "install")
        report = Path(folder) / "report.xml"
        options = ["--quiet", "--override-ini=junit_family=xunit1", f"--junitxml={report}"]
        shell(project, project / ".venv" / "bin" / "python", "-m", "pytest", *options, TESTS)
        print("| | calls | of which |\n|---|---:|---|")
        for counted in ElementTree.parse(report).iter("property"):  # noqa: S314 - pytest wrote it
            operations = json.loads(counted.attrib["value"])
            listed = ", ".join(f"{count} {name}" for name, count in operations.items())
            print(f"| {counted.attrib['name']} | {sum(operations.values())} | {listed} |")


if __name__ == "__main__":
    main()

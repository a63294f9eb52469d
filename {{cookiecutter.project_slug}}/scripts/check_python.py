"""Stop unless pyproject.toml allows this Python: check_python.py ADVICE.

Poetry exports an empty list of packages for any other, without an error. In the advice,
``{python}`` stands for a version that is allowed.
"""

import platform
import sys
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet


def main(advice: str) -> None:
    """Exit with a message if ``requires-python`` excludes the running interpreter."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirement = project["requires-python"]
    required = SpecifierSet(requirement)
    version = platform.python_version()
    if not required.contains(version, prereleases=True):
        minors = (f"3.{minor}" for minor in range(30))
        allowed = next((minor for minor in minors if required.contains(f"{minor}.99")), "3")
        sys.exit(
            f"This is Python {version} ({sys.base_prefix}), and pyproject.toml says "
            f'requires-python = "{requirement}". {advice.format(python=allowed)}'
        )


if __name__ == "__main__":
    main(sys.argv[1])

"""Check that pyproject.toml allows this Python: check_python.py ADVICE.

For other versions, Poetry exports an empty list of packages without an error. In the advice,
``{python}`` is replaced by an allowed version.
"""

import platform
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet


def main(advice: str) -> None:
    """Exit with a message if ``requires-python`` excludes the running interpreter."""
    requirement, required = read_requirement()
    version = platform.python_version()
    if not required.contains(version, prereleases=True):
        minors = [f"3.{minor}" for minor in range(11, 30) if minor != sys.version_info.minor]
        fitting = [f"python{minor}" for minor in minors if required.contains(f"{minor}.99")]
        allowed = fitting[0] if fitting else "/path/to/python3"
        sys.exit(
            f"This is Python {version} ({sys.base_prefix}), and pyproject.toml says "
            f'requires-python = "{requirement}". {advice.format(python=allowed)}'
        )


def read_requirement() -> tuple[str, SpecifierSet]:
    """Return ``requires-python`` as text and parsed; exit with a message if it is invalid."""
    try:
        settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"pyproject.toml: {error}")
    requirement = settings.get("project", {}).get("requires-python")
    if isinstance(requirement, str) and requirement:
        with suppress(InvalidSpecifier):
            return requirement, SpecifierSet(requirement)
    sys.exit('pyproject.toml: requires-python must be a range such as ">=3.11,<3.15"')


if __name__ == "__main__":
    main(sys.argv[1])

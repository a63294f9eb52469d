"""Remove what the base image provides from a requirements file: base_packages.py FILE NAME...

/tools/bin/python runs this, because it has ``packaging``; ``python`` is that of the base image. A *
in a name matches any characters, and a name with * need not match a package.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main(file: Path, patterns: Sequence[str]) -> None:
    """Rewrite the file. Exit with a message if a package is missing or has the wrong version."""
    names = [re.sub(r"[-_.]+", "-", pattern).lower() for pattern in patterns]
    versions = installed()
    for name in names:
        if "*" not in name and name not in versions:
            sys.exit(
                f"image.env: BASE_PACKAGES names {name}, but the base image does not have it. "
                "Remove the name, or choose another BASE_IMAGE."
            )
    pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    for requirement in map(Requirement, pyproject["project"].get("dependencies", [])):
        name = canonicalize_name(requirement.name)
        if not matches(name, names) or (requirement.marker and not requirement.marker.evaluate()):
            continue
        if name not in versions:
            sys.exit(
                f"pyproject.toml requires {requirement}, which BASE_PACKAGES in image.env names, "
                "but the base image does not have it. Choose another BASE_IMAGE."
            )
        if not requirement.specifier.contains(versions[name], prereleases=True):
            sys.exit(
                f"pyproject.toml requires {requirement}, but the base image has version "
                f"{versions[name]}. Change one of the two, or BASE_PACKAGES in image.env."
            )
    # Backslashes continue the line of a requirement with its hashes.
    entries = re.split(r"(?<!\\)\n", file.read_text(encoding="utf-8"))
    kept = [entry for entry in entries if not matches(name_of(entry), names)]
    file.write_text("\n".join(kept), encoding="utf-8")


def installed() -> dict[str, str]:
    """Return the versions of the packages of the base image, by normalized name."""
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps([(d.metadata['Name'], d.version) for d in m.distributions()]))"
    )
    python = shutil.which("python") or "python"
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, check=True)
    # Earlier paths have precedence, as in imports.
    return {canonicalize_name(name): version for name, version in reversed(json.loads(done.stdout))}


def name_of(entry: str) -> str:
    """Return the normalized name in an entry of a requirements file; empty for an option."""
    name = re.match(r"[A-Za-z0-9][\w.-]*", entry)
    return canonicalize_name(name[0]) if name else ""


def matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

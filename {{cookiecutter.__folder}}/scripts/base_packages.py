"""Leave out of a list of requirements what the base image provides: base_packages.py FILE NAME...

Run by /tools/bin/python, which has ``packaging``; ``python`` is the base image's. A * in a name
stands for any characters, and such a name may match nothing.
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
    """Rewrite the file; stop if the base image lacks a package or has one that does not fit."""
    names = [re.sub(r"[-_.]+", "-", pattern).lower() for pattern in patterns]
    versions = installed()
    for name in names:
        if "*" not in name and name not in versions:
            sys.exit(
                f"image.env: BASE_PACKAGES names {name}, and the base image has none. Remove the "
                "name, or choose another BASE_IMAGE."
            )
    pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    for requirement in map(Requirement, pyproject["project"].get("dependencies", [])):
        name = canonicalize_name(requirement.name)
        if not matches(name, names) or (requirement.marker and not requirement.marker.evaluate()):
            continue
        if name not in versions:
            sys.exit(
                f"pyproject.toml requires {requirement}, BASE_PACKAGES in image.env leaves it to "
                "the base image, and the base image has none. Choose another BASE_IMAGE."
            )
        if not requirement.specifier.contains(versions[name], prereleases=True):
            sys.exit(
                f"pyproject.toml requires {requirement}, and the base image has version "
                f"{versions[name]}. Change one of the two, or BASE_PACKAGES in image.env."
            )
    # A requirement and its hashes are one line, continued by backslashes.
    entries = re.split(r"(?<!\\)\n", file.read_text(encoding="utf-8"))
    kept = [entry for entry in entries if not matches(name_of(entry), names)]
    file.write_text("\n".join(kept), encoding="utf-8")


def installed() -> dict[str, str]:
    """Return the versions of the base image's packages, by normalized name."""
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps([(d.metadata['Name'], d.version) for d in m.distributions()]))"
    )
    python = shutil.which("python") or "python"
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, check=True)
    # A path that comes first has precedence, as it has when Python imports.
    return {canonicalize_name(name): version for name, version in reversed(json.loads(done.stdout))}


def name_of(entry: str) -> str:
    """Return the normalized name in an entry of a list of requirements; empty for an option."""
    name = re.match(r"[A-Za-z0-9][\w.-]*", entry)
    return canonicalize_name(name[0]) if name else ""


def matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""`make audit`, with a local server instead of OSV."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import loopback
import pytest
from conftest import TEMPLATE, copy_installed, run

pytestmark = pytest.mark.slow

PACKAGE = tomllib.loads((TEMPLATE / "poetry.lock").read_text())["package"][0]["name"]
"""Any of the locked ones."""

Version = tuple[str, str]


@dataclass
class Osv:
    """https://google.github.io/osv.dev/post-v1-query, with one vulnerable distribution at most."""

    vulnerable: str = ""
    asked: set[Version] = field(default_factory=set)
    address: str = ""

    def answer(self, query: dict[str, object]) -> dict[str, object]:
        package = query["package"]
        assert isinstance(package, dict)
        assert package["ecosystem"] == "PyPI"
        self.asked.add((package["name"], str(query["version"])))
        if package["name"] != self.vulnerable:
            return {}
        return {"vulns": [{"id": "PYSEC-0", "affected": [{"package": package}]}]}


@pytest.fixture
def osv() -> Iterator[Osv]:
    service = Osv()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(service.answer(query)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            pass

    with loopback.serve(Handler) as service.address:
        yield service


@pytest.fixture(scope="module")
def project(installed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / installed_project.name
    return copy_installed(installed_project, folder)


def audit(project: Path, address: str) -> subprocess.CompletedProcess[str]:
    env = {"PIP_AUDIT_OSV_URL": address}
    command = ["make", "audit"]
    return subprocess.run(
        command, cwd=project, env=os.environ | env, capture_output=True, text=True, check=False
    )


def test_every_locked_version_is_asked_for(project: Path, osv: Osv) -> None:
    done = audit(project, osv.address)
    assert done.returncode == 0, done.stdout + done.stderr
    lock = tomllib.loads((project / "poetry.lock").read_text())
    locked = {(package["name"], package["version"]) for package in lock["package"]}
    for file in (project / "tools").glob("*.txt"):
        locked |= set(re.findall(r"(?m)^(\S+)==(\S+)", file.read_text()))
    assert osv.asked <= locked
    for environment in (".venv", ".tools", ".tools/audit"):
        pip = (".tools/bin/uv", "pip", "list", "--format=json", f"--python={environment}")
        installed = json.loads(run(project, *pip).splitlines()[-1])
        used = {(package["name"], package["version"]) for package in installed}
        assert used
        assert {(name, version) for name, version in used if name != "pip"} <= osv.asked
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_vulnerability_is_a_failure(project: Path, osv: Osv) -> None:
    osv.vulnerable = PACKAGE
    done = audit(project, osv.address)
    assert done.returncode != 0
    assert re.search(rf"^{PACKAGE} +\S+ +PYSEC-0", done.stdout, flags=re.MULTILINE)


def test_a_service_that_cannot_be_asked_is_a_failure(project: Path) -> None:
    assert audit(project, "http://127.0.0.1:9").returncode != 0


def test_a_list_without_hashes_is_a_failure(project: Path, osv: Osv) -> None:
    lock = project / "poetry.lock"
    text = lock.read_text()
    package = text.index(f'name = "{PACKAGE}"\n')
    start, end = text.index("files = [", package), text.index("\n]", package)
    lock.write_text(f"{text[:start]}files = [{text[end:]}")
    done = audit(project, osv.address)
    lock.write_text(text)
    assert done.returncode != 0
    assert re.search(f"requirement {PACKAGE}.* does not contain a hash", done.stderr)

"""A stand-in for the Docker client: its containers are processes that run jobs like ``probe``.

Its state is a folder, named by ``FAKE_DOCKER``, with a folder for each container and network. A
file ``fail-<words>`` there makes the command that begins with these words fail with the file's
content, and one named ``hang-<words>`` makes it never answer. The file ``info`` holds what the
engine tells about itself, as JSON; the file ``options`` gets the options of each container, and the
file ``calls`` every command line.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("FAKE_DOCKER", "."))
KINDS = ("container", "network")


def load(kind: str, name: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((STATE / kind / name / "state.json").read_text())
    return made


def save(kind: str, name: str, made: dict[str, Any]) -> None:
    folder = STATE / kind / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "new.json").write_text(json.dumps(made))
    (folder / "new.json").rename(folder / "state.json")


def values(words: list[str], option: str) -> list[str]:
    return [words[index + 1] for index, word in enumerate(words) if word == option]


def labels(words: list[str]) -> dict[str, str]:
    return dict(label.split("=", 1) for label in values(words, "--label"))


def create(words: list[str]) -> None:
    end = words.index("image:tag")
    state = {"Running": False, "ExitCode": 0, "OOMKilled": False, "Error": ""}
    mounts = [
        dict(pair.split("=", 1) for pair in row if "=" in pair)
        for row in csv.reader(values(words, "--mount"))
    ]
    name = values(words, "--name")[0]
    with (STATE / "options").open("a") as options:
        options.write(json.dumps(words[:end]) + "\n")
    made = {
        "Id": name,
        "Name": f"/{name}",
        "Config": {"Labels": labels(words)},
        "State": state,
        "env": dict(pair.split("=", 1) for pair in values(words, "--env")),
        "mounts": {mount["target"]: mount.get("source") for mount in mounts},
        "words": words[end + 1 :],
    }
    save("container", name, made)


def start(name: str) -> int:
    made, base = load("container", name), STATE / "container" / name / "ml"
    for target, source in made["mounts"].items():
        link = base / target.removeprefix("/opt/ml/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if source:
            link.symlink_to(source)
        else:
            link.mkdir()
    channels: tuple[str | Path, ...] = ("--input_path", base / "processing/input/some")
    if "/opt/ml/processing/input/lookup" in made["mounts"]:
        channels += ("--lookup_path", base / "processing/input/lookup")
    if (base / "processing/output/seen").exists():
        channels += ("--output_path", base / "processing/output/seen")
    script, *options = [word for word in made["words"] if word != "-u"]
    env = {key: value.replace("/opt/ml", str(base)) for key, value in made["env"].items()}
    process = subprocess.Popen(
        [sys.executable, "-u", script.replace("/opt/ml", str(base)), *map(str, channels), *options],
        env=os.environ | env | {"SAGEMAKER_BASE_DIR": str(base)},
    )
    save("container", name, made | {"State": made["State"] | {"Running": True}, "pid": process.pid})
    code = process.wait()
    code = code if code >= 0 else 128 - code
    ended = {"Running": False, "ExitCode": code, "OOMKilled": (STATE / "oom").exists()}
    save("container", name, made | {"State": made["State"] | ended})
    return code


def copy(source: str, target: str) -> None:
    def on_disk(path: str) -> Path:
        name, colon, below = path.partition(":/opt/ml")
        return STATE / "container" / name / "ml" / below.lstrip("/") if colon else Path(path)

    shutil.copytree(on_disk(source), on_disk(target), dirs_exist_ok=True, symlinks=True)


def sort(kind: str, names: list[str]) -> tuple[list[str], list[str]]:
    """Return the names that exist, and those that do not."""
    there = [name for name in names if name and (STATE / kind / name).exists()]
    return there, [name for name in names if name and name not in there]


def report(kind: str, gone: list[str]) -> int:
    for name in gone:
        print(f"Error response from daemon: No such {kind}: {name}", file=sys.stderr)
    return 1 if gone else 0


def answer(words: list[str]) -> int:
    kind, verb, *names = *words, "", ""
    with (STATE / "calls").open("a") as calls:
        calls.write(" ".join(words) + "\n")
    if words[:2] == ["image", "inspect"] or words[0] == "version":
        print("{}")
    elif words[0] == "info":
        print((STATE / "info").read_text() if (STATE / "info").exists() else "{}")
    elif words[0] == "create":
        create(words)
    elif words[:2] == ["network", "create"]:
        save("network", words[-1], {"Id": words[-1], "Name": words[-1], "Labels": labels(words)})
    elif words[0] == "cp":
        copy(*[word for word in words[1:] if word != "--quiet"])
    elif words[0] == "rename":
        old, new = words[1:]
        save("container", old, load("container", old) | {"Id": new, "Name": f"/{new}"})
        (STATE / "container" / old).rename(STATE / "container" / new)
    elif words[0] == "start":
        return start(words[-1])
    elif words[0] == "kill":
        os.kill(load("container", words[-1])["pid"], getattr(signal, values(words, "--signal")[0]))
    elif kind in KINDS and verb == "ls":
        found = (STATE / kind).iterdir() if (STATE / kind).exists() else ()
        print(*(path.name for path in found), sep="\n")
    elif kind in KINDS and verb == "inspect":
        there, gone = sort(kind, names)
        print(json.dumps([load(kind, name) for name in there]))
        return report(kind, gone)
    elif kind in KINDS and verb == "rm":
        there, gone = sort(kind, [name for name in names if not name.startswith("-")])
        for name in there:
            made = load(kind, name)
            if made.get("State", {}).get("Running"):
                os.kill(made["pid"], signal.SIGKILL)
            shutil.rmtree(STATE / kind / name)
        return report(kind, gone)
    else:
        raise ValueError(words)
    return 0


if __name__ == "__main__":
    command = "-".join(sys.argv[1:])
    for file in STATE.glob("fail-*"):
        if command.startswith(file.name.removeprefix("fail-")):
            sys.exit(file.read_text())
    for file in STATE.glob("hang-*"):
        while command.startswith(file.name.removeprefix("hang-")):
            time.sleep(1)
    sys.exit(answer(sys.argv[1:]))

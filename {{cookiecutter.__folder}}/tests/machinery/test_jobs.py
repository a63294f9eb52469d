"""Entrypoints are read from their files, or rejected with what is wrong in them."""

from pathlib import Path

import pytest

from launch import LaunchError
from launch.requests import jobs
from small_pipeline import MAKE_DATA

OUTPUT = 'default=f"{runtime.OUTPUT}/data"'
PARSER = "runtime.JobParser(__doc__)"


def rejection(root: Path, text: str) -> str:
    (root / "entrypoints" / "broken.py").write_text(text, encoding="latin-1")
    with pytest.raises(LaunchError) as caught:
        jobs.read("broken")
    assert "entrypoints/broken.py" in str(caught.value)
    return str(caught.value)


def test_the_parser_is_the_runtime_s(small_pipeline: Path) -> None:
    message = rejection(small_pipeline, MAKE_DATA.replace(PARSER, "argparse.ArgumentParser()"))
    assert "build_parser() must return a runtime.JobParser" in message


@pytest.mark.parametrize("text", ["def", "x = 'Größe'", "x = '\\N{no such name}'"])
def test_installing_is_no_advice_for_a_file_that_is_not_python(
    small_pipeline: Path, text: str
) -> None:
    message = rejection(small_pipeline, text)
    assert "broken.py" in message
    assert "make install" not in message


def test_a_library_that_is_missing_is_installed_or_added(small_pipeline: Path) -> None:
    message = rejection(small_pipeline, "import no_such_library")
    for part in ("no_such_library", "`make install`", "`.tools/bin/poetry add --lock NAME`"):
        assert part in message


def with_channel(default: str) -> str:
    """Return an entrypoint with one more channel."""
    added = f'parser.add_argument("--other_path", default={default})\n    return'
    return MAKE_DATA.replace("return", added, 1)


@pytest.mark.parametrize(
    "default",
    ['runtime.INPUT + "/raw/below"', 'runtime.INPUT + "/raw"', 'runtime.INPUT + "/raw/"'],
)
def test_channels_have_folders_of_their_own(small_pipeline: Path, default: str) -> None:
    message = rejection(small_pipeline, with_channel(default))
    assert "--input_path" in message
    assert "--other_path" in message


def test_a_channel_may_have_a_name_that_begins_like_another(small_pipeline: Path) -> None:
    text = with_channel('runtime.OUTPUT + "/database"')
    (small_pipeline / "entrypoints" / "fine.py").write_text(text)
    assert [channel.name for channel in jobs.read("fine").outputs] == ["data", "database"]


@pytest.mark.parametrize("option", ['nargs="*"', 'nargs="?"', "nargs=1"])
def test_a_channel_takes_one_address(small_pipeline: Path, option: str) -> None:
    message = rejection(small_pipeline, MAKE_DATA.replace(OUTPUT, f"{OUTPUT}, {option}"))
    assert "--output_path" in message


def test_a_channel_has_one_name(small_pipeline: Path) -> None:
    text = MAKE_DATA.replace('"--output_path"', '"--output_path", "-o"')
    assert "--output_path only" in rejection(small_pipeline, text)

"""``launch.toml`` is read whole or rejected with what is wrong in it."""

from pathlib import Path

import pytest

from launch import LaunchError
from launch.pipelines import pipeline
from launch.requests import jobs, options
from launch.settings import config, project

METRIC = """\
[metric]
job = "fit"
output = "model"
file = "below/report.json"
name = "classes.a_1.recall"
"""


def read_all() -> None:
    for job in config.jobs_with_inputs():
        config.inputs(job)
    config.jobs()
    config.metric()
    config.retries()
    config.bucket_owners()
    config.jobs_with_requests()
    config.output_key("fit")


@pytest.fixture
def table(small_pipeline: Path) -> Path:
    return small_pipeline / "launch.toml"


def test_the_jobs_are_those_of_the_table_in_its_order(table: Path) -> None:
    table.write_text('pipeline.jobs = ["fit", "make_data"]')
    assert list(config.jobs()) == ["fit", "make_data"]


def test_a_table_may_be_missing_or_empty(table: Path) -> None:
    for text in ("", "[pipeline]", "[inputs]", "[inputs.fit]"):
        table.write_text(text)
        assert (list(config.jobs()), config.inputs("fit"), config.metric()) == ([], {}, None)
    table.unlink()
    assert (list(config.jobs()), config.inputs("fit"), config.metric()) == ([], {}, None)


def test_addresses_are_absolute_or_in_s3(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    table.write_text(
        f'[inputs.fit]\na = "data/x/"\nb = "s3://bucket/x/"\nc = "{tmp_path}/y"\nd = "~/z"'
    )
    assert config.inputs("fit") == {
        "a": str(table.parent / "data" / "x"),
        "b": "s3://bucket/x",
        "c": str(tmp_path / "y"),
        "d": str(tmp_path / "z"),
    }
    assert config.inputs("make_data") == {}


def test_a_table_may_begin_with_a_byte_order_mark(table: Path) -> None:
    table.write_text('pipeline.jobs = ["fit"]', encoding="utf-8-sig")
    assert list(config.jobs()) == ["fit"]


@pytest.mark.parametrize(
    ("line", "limit", "lower_is_better"),
    [("minimum = 0.5", 0.5, False), ("maximum = -40", -40.0, True), ("minimum = 0", 0.0, False)],
)
def test_a_metric_has_a_minimum_or_a_maximum(
    table: Path, line: str, limit: float, lower_is_better: bool
) -> None:
    table.write_text(METRIC + line)
    metric = config.metric()
    assert metric
    assert (metric.limit, metric.lower_is_better) == (limit, lower_is_better)
    assert (metric.job, metric.output, metric.file) == ("fit", "model", "below/report.json")
    assert metric.name == "classes.a_1.recall"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pipeline", "not valid TOML"),
        ('a = "\\u00"', "not valid TOML"),
        ("[metrics]", "there is no metrics; did you mean metric?"),
        ("[pipeline]\njob = []", "there is no pipeline.job; did you mean jobs?"),
        (
            "[x]",
            "there is no x; choose from pipeline, inputs, metric, request, job, ",
        ),
        ("[requests]", "there is no requests; did you mean request?"),
        ("[pipeline]\nretries = 1", "pipeline.retries must be tables: [[pipeline.retries]]"),
        ("[pipeline]\nretries = [1]", "pipeline.retries must be tables: [[pipeline.retries]]"),
        ("request = 1", "request must be a table: [request]"),
        ("[[job]]", "job must be a table: [job]"),
        ("[job]\nfit = 1", "job.fit must be a table: [job.fit]"),
        ("[buckets]\nlake = 210987654321", "buckets.lake must be the account that owns the bucket"),
        ("[buckets]\nlake = '21098765432'", "buckets.lake must be the account that owns"),
        ("[buckets]\nlake = '21098765432\u0662'", "buckets.lake must be the account that owns"),
        ("buckets = 1", "buckets must be a table: [buckets]"),
        ("[request]\nProcessingOutputConfig = 1", "request.ProcessingOutputConfig must be a table"),
        ("[request.ProcessingOutputConfig]\nKmsKeyId = 1", "KmsKeyId must be a key in quotes"),
        ("pipeline = 1", "pipeline must be a table"),
        ('[pipeline]\njobs = "fit"', "pipeline.jobs must be a list"),
        ("[pipeline]\njobs = [1]", "pipeline.jobs must be a list"),
        ('[pipeline]\njobs = ["fit", "fit"]', "pipeline.jobs names fit twice"),
        ('[inputs]\nfit = "raw"', "inputs.fit must be a table: [inputs.fit]"),
        ("[inputs.fit]\nx = 1", "inputs.fit.x must be an address in quotes"),
        ('[inputs.fit]\nx = ""', "inputs.fit.x must be an address in quotes"),
        ('[inputs.fit]\nx.y = "z"', "inputs.fit.x must be an address in quotes"),
        ('[inputs.fit]\nx = "a\\u0000b"', "launch.toml: inputs.fit.x: "),
        ('[inputs.fit]\nx = "s3:/bucket"', "launch.toml: inputs.fit.x: "),
        (f"x = {'[' * 5000}", "nested too deeply"),
        ("[metric]", "[metric] needs job"),
        ("metric = 1", "metric must be a table: [metric]"),
        (METRIC.replace('output = "model"', "") + "minimum = 1", "[metric] needs output"),
        (METRIC.replace('"model"', "1") + "minimum = 1", "metric.output must be a name in quotes"),
        (METRIC.replace('"model"', '""') + "minimum = 1", "metric.output must be a name in quotes"),
        (METRIC.replace("below", "..") + "minimum = 1", "metric.file must be a path below"),
        (METRIC.replace("below", "/x") + "minimum = 1", "metric.file must be a path below"),
        (METRIC.replace("below/report.json", ".") + "minimum = 1", "metric.file must be"),
        (METRIC.replace(".a_1", ".") + "minimum = 1", "metric.name must be keys"),
        (METRIC.replace(".a_1", ".1a") + "minimum = 1", "metric.name must be keys"),
        (METRIC.replace(".a_1", ".f1-x") + "minimum = 1", "metric.name must be keys"),
        (METRIC.replace(".a_1", ".ä") + "minimum = 1", "metric.name must be keys"),
        (METRIC, "needs either minimum or maximum, and has neither"),
        (METRIC + "minimum = 1\nmaximum = 2", "needs either minimum or maximum, and has both"),
        (METRIC + 'minimum = "0.9"', "metric.minimum must be a number without quotes: '0.9'"),
        (METRIC + "maximum = true", "metric.maximum must be a number"),
        (METRIC + "maximum = nan", "metric.maximum must be a number"),
        (METRIC + "maximum = inf", "metric.maximum must be a number"),
        (METRIC + f"maximum = 1{'0' * 400}", "metric.maximum must be a number"),
        (METRIC + "minimun = 1", "there is no metric.minimun; did you mean minimum?"),
    ],
)
def test_a_wrong_table_is_rejected(table: Path, text: str, message: str) -> None:
    table.write_text(text)
    with pytest.raises(LaunchError) as caught:
        read_all()
    assert str(caught.value).startswith("launch.toml")
    assert message in str(caught.value)


def test_a_table_that_cannot_be_read_is_rejected(table: Path) -> None:
    table.write_text('[inputs.fit]\nx = "Größe"', encoding="latin-1")
    with pytest.raises(LaunchError, match=r"launch\.toml is not UTF-8: save it as UTF-8"):
        config.jobs()
    table.unlink()
    table.mkdir()
    with pytest.raises(LaunchError, match=r"launch\.toml"):
        config.jobs()


def test_the_table_of_this_repository_fits_its_jobs() -> None:
    """Every job can be launched by its name, and in the pipeline; no data is read."""
    written: set[str] = set()
    for name in config.jobs():
        job = jobs.read(name)
        addresses = config.inputs(name)
        assert addresses.keys() <= {channel.option for channel in job.inputs}
        for channel in job.inputs:
            if channel.required:
                assert channel.name in written or channel.option in addresses, (
                    f"{name}: no job before it writes {channel.name}, and launch.toml has no "
                    f"[inputs.{name}] {channel.option}"
                )
        written |= {channel.name for channel in job.outputs}
    metric = config.metric()
    if metric:
        assert metric.job in config.jobs()
        outputs = jobs.read(metric.job).outputs
        assert metric.output in {channel.name for channel in outputs}


REQUESTS = """
[request.ProcessingOutputConfig]
KmsKeyId = "all"
[[request.Tags]]
Key = "a"
Value = "1"
[job.fit.ProcessingOutputConfig]
KmsKeyId = "one"
[[job.fit.Tags]]
Key = "b"
Value = "2"
[buckets]
"my.lake" = "210987654321"
[stack]
Anything = ["x"]
"""


def test_a_job_has_the_fields_of_all_jobs_and_its_own(table: Path) -> None:
    table.write_text(REQUESTS)
    assert list(config.request_tables("make_data")) == ["request"]
    assert list(config.request_tables("fit")) == ["request", "job.fit"]
    assert list(config.jobs_with_requests()) == ["fit"]
    for job in (None, "make_data"):
        assert config.request(job)["Tags"] == [{"Key": "a", "Value": "1"}]
        assert config.output_key(job) == "all"
    assert [tag["Key"] for tag in config.request("fit")["Tags"]] == ["a", "b"]
    assert config.output_key("fit") == "one"
    assert config.bucket_owners() == {"my.lake": "210987654321"}


def test_retries_may_be_missing_none_or_some(table: Path) -> None:
    table.write_text("[pipeline]\njobs = []")
    assert config.retries() is None
    assert (config.request("fit"), config.output_key("fit")) == ({}, None)
    assert config.bucket_owners() == {}
    table.write_text("[pipeline]\nretries = []")
    assert config.retries() == []
    table.write_text("[[pipeline.retries]]\nMaxAttempts = 3")
    assert config.retries() == [{"MaxAttempts": 3}]


def test_nothing_of_the_table_is_kept_for_the_next_launch(table: Path) -> None:
    before = table.read_text()
    table.write_text(f'{before}\n[inputs.make_data]\ninput_path = "raw"')
    raw = str(project.ROOT / "raw")
    assert options.parse(jobs.read("make_data"), []).inputs == {"input_path": raw}
    assert pipeline.parse([]).steps[0].launch.inputs == {"input_path": raw}
    table.write_text(before)
    with pytest.raises(LaunchError, match="required: --input_path"):
        options.parse(jobs.read("make_data"), [])

"""Reject answers that would break the repository later."""

# Neither json nor re: importing them takes as long as starting Python.
import keyword
import sys

ANSWERS: dict[str, str] = dict({{cookiecutter.items() | list}})  # type: ignore  # noqa: F821
LOWER_CASE = set("abcdefghijklmnopqrstuvwxyz")
WORDS = "words of lower-case letters and digits"
WORD = LOWER_CASE | set("0123456789")
CONTROL = {chr(code) for code in (*range(32), 0x7F, 0x85, 0x2028, 0x2029, *range(0xD800, 0xE000))}

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
MAX_SLUG = 63 - len("-preprocess-20260131-235959-k3x9q2")
FOLDERS = "data entrypoints infra launch notebooks out scripts src tests"
# Modules that an entrypoint or a test would import instead of a package of the same name.
MODULES = "aws_faults conftest fake_docker preprocess probe small_pipeline train tune"
# What poetry.lock installs, by distribution and by import; a test keeps it complete.
DEPENDENCIES = """
annotated_types anyio appnope argon2 argon2_cffi argon2_cffi_bindings arrow ast_serialize asttokens
async_lru attr attrs babel bcrypt beautifulsoup4 bleach boto3 botocore bs4 certifi cffi
charset_normalizer cloudpickle colorama comm contourpy coverage cryptography cycler dateutil debugpy
defusedxml execnet executing fastjsonschema fonttools fqdn google h11 httpcore httpx hypothesis idna
importlib_metadata iniconfig invoke ipykernel ipykernel_launcher ipython ipython_pygments_lexers
isoduration jedi jinja2 jmespath joblib json5 jsonpointer jsonschema jsonschema_specifications
jupyter jupyter_builder jupyter_client jupyter_core jupyter_events jupyter_lsp jupyter_server
jupyter_server_terminals jupyterlab jupyterlab_pygments jupyterlab_server kiwisolver lark librt
markdown_it markdown_it_py markupsafe matplotlib matplotlib_inline mdurl mistune mock moto
mpl_toolkits mypy mypy_extensions mypyc nacl narwhals nbclient nbconvert nbformat nest_asyncio2
notebook_shim numpy omegaconf overrides packaging pandas pandocfilters paramiko parso pathspec
pexpect pillow platformdirs pluggy polars polars_runtime_32 prometheus_client prompt_toolkit
protobuf psutil ptyprocess pure_eval py py_partiql_parser pycparser pydantic pydantic_core pygments
pylab pynacl pyparsing pytest pytest_cov pytest_xdist python_dateutil python_json_logger
pythonjsonlogger pytz pywinpty pyyaml pyzmq referencing requests responses rfc3339_validator
rfc3986_validator rfc3987_syntax rich rpds rpds_py ruff s3transfer sagemaker sagemaker_core schema
scikit_learn scipy send2trash six sklearn smdebug_rulesconfig sortedcontainers soupsieve stack_data
tblib terminado threadpoolctl tinycss2 tornado tqdm traitlets types_tqdm typing_extensions
typing_inspection tzdata uri_template urllib3 wcwidth webcolors webencodings websocket
websocket_client werkzeug xdist xmltodict yaml zipp zmq
"""


def are_words(text: str, separators: str) -> bool:
    """Whether this is words of lower-case letters and digits, with one separator between two."""
    for separator in separators:
        text = text.replace(separator, separators[0])
    return all(word and set(word) <= WORD for word in text.split(separators[0]))


def refusal(question: str, answer: str, package: str) -> tuple[str, str] | None:
    """Return the rule that an answer breaks, and an example that follows it."""
    if set(answer) & (CONTROL - set("\n\r\t") if question == "description" else CONTROL):
        return "must be text on one line, without control characters", "Churn Model"
    if question in ("project_name", "author") and not answer.strip():
        return "must not be empty", "Churn Model"
    if question == "project_slug":
        if not are_words(answer, "-") or answer[0] not in LOWER_CASE:
            return f"must be {WORDS}, joined by single hyphens, a letter first", "churn-model"
        if len(answer) > MAX_SLUG:
            return f"must have at most {MAX_SLUG} characters, to fit a job's name", "churn-model"
        if keyword.iskeyword(package) or package in sys.stdlib_module_names:
            return f"must not make the package {package!r}, which is Python's own", "churn-model"
        taken = f"{FOLDERS} {MODULES} {DEPENDENCIES}".split()
        if package in taken or package.startswith("test_"):
            return f"must not make the package {package!r}, which the project uses", "churn-model"
    if question == "ecr_repository":
        # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
        if not are_words(answer, "/._-"):
            return f"must be {WORDS}, joined by single / . _ or -", "team/churn-model"
        if not 2 <= len(answer) <= 256:
            return "must have 2 to 256 characters", "team/churn-model"
    return None


if __name__ == "__main__":
    for question in ("project_name", "project_slug", "ecr_repository", "description", "author"):
        answer = ANSWERS[question]
        if found := refusal(question, answer, ANSWERS["__package_name"]):
            shown = answer if len(answer) <= 80 else f"{answer[:77]}..."
            sys.exit(f"{question} {shown!r} {found[0]}; for example: {found[1]}")

"""Refuse the answers that would break the repository later."""

# Neither json nor re: importing them takes as long as starting Python.
import keyword
import sys

ANSWERS: dict[str, str] = dict({{cookiecutter.items() | list}})  # type: ignore  # noqa: F821
LOWER_CASE = set("abcdefghijklmnopqrstuvwxyz")
WORDS = "words of lower-case letters and digits"
WORD = LOWER_CASE | set("0123456789")
CONTROL = {chr(code) for code in (*range(32), 0x7F, 0x85, 0x2028, 0x2029, *range(0xD800, 0xE000))}

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
MAX_SLUG = 63 - len("-preprocess-20260131-235959-999")
TOP_LEVEL = "data entrypoints infra launch notebooks out scripts src tests"
# What poetry.lock installs, by distribution and by import; a test keeps it complete.
DEPENDENCIES = """
aiohappyeyeballs aiohttp aiosignal alembic annotated_doc annotated_types anyio appnope argon2
argon2_cffi argon2_cffi_bindings arrow ast_serialize asttokens async_lru attr attrs babel bcrypt
beautifulsoup4 bleach blinker boto3 botocore bs4 cachebox cachetools certifi cffi
charset_normalizer click cloudpickle colorama comm contourpy cryptography cycler databricks_sdk
dateutil debugpy deepdiff defusedxml docker execnet executing fastapi fastjsonschema flask
flask_cors fonttools fqdn frozenlist fsspec gitdb gitpython google google_auth graphene
graphql_core graphql_relay gunicorn h11 httpcore httpx huey hypothesis idna importlib_metadata
iniconfig invoke ipykernel ipykernel_launcher ipython ipython_pygments_lexers isoduration
itsdangerous jedi jinja2 jmespath joblib json5 jsonpointer jsonschema jsonschema_specifications
jupyter jupyter_builder jupyter_client jupyter_core jupyter_events jupyter_lsp jupyter_server
jupyter_server_terminals jupyterlab jupyterlab_pygments jupyterlab_server kiwisolver lark librt
mako markdown_it markdown_it_py markupsafe matplotlib matplotlib_inline mdurl mistune mlflow
mlflow_skinny mlflow_tracing mmh3 mock mpl_toolkits multidict mypy mypy_extensions mypyc nacl
narwhals nbclient nbconvert nbformat nest_asyncio nest_asyncio2 notebook_shim numpy omegaconf
opentelemetry_api opentelemetry_proto opentelemetry_sdk opentelemetry_semantic_conventions
orderly_set overrides packaging pandas pandocfilters paramiko parso pathspec pexpect pillow
platformdirs pluggy polars polars_runtime_32 prettytable prometheus_client prompt_toolkit propcache
protobuf psutil ptyprocess pure_eval py pyarrow pyasn1 pyasn1_modules pycparser pydantic
pydantic_core pygments pyiceberg pylab pynacl pyparsing pyroaring pytest pytest_xdist
python_dateutil python_dotenv python_json_logger pythonjsonlogger pytz pywin32 pywinpty pyyaml
pyzmq referencing requests rfc3339_validator rfc3986_validator rfc3987_syntax rich rpds rpds_py
ruff s3fs s3transfer sagemaker sagemaker_core sagemaker_mlflow sagemaker_mlops
sagemaker_schema_inference_artifacts sagemaker_serve sagemaker_train schema scikit_learn scipy
send2trash six sklearn skops smdebug_rulesconfig smmap sortedcontainers soupsieve sqlalchemy
sqlparse stack_data starlette strictyaml tblib tenacity terminado threadpoolctl tinycss2 tornado
tqdm traitlets types_tqdm typing_extensions typing_inspection tzdata uri_template urllib3 uvicorn
waitress wcwidth webcolors webencodings websocket websocket_client werkzeug xdist yaml yarl zipp
zmq zstandard
"""


def are_words(text: str, separators: str) -> bool:
    """Whether this is words of lower-case letters and digits, with one separator between two."""
    for separator in separators:
        text = text.replace(separator, separators[0])
    return all(word and set(word) <= WORD for word in text.split(separators[0]))


def refusal(question: str, answer: str, package: str) -> tuple[str, str] | None:
    """The rule that an answer breaks, and an example that keeps it."""
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
        if package in TOP_LEVEL.split() + DEPENDENCIES.split():
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

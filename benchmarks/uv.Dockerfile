# Another baseline: the pattern of uv's documentation ("Using uv in Docker": installing a project,
# intermediate layers, caching, compiling bytecode) in two stages, as in the example that it refers to, so that
# the image does not contain uv. UV is an image that holds uv alone, as uv's own does.
ARG BASE_IMAGE
ARG UV
FROM ${UV} AS uv
FROM ${BASE_IMAGE} AS builder
COPY --from=uv /uv /bin/
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=0 UV_SYSTEM_CERTS=1
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=secret,id=index \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    UV_DEFAULT_INDEX="$(cat /run/secrets/index)" uv sync --locked --no-install-project --no-dev
COPY . /app
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=secret,id=index \
    UV_DEFAULT_INDEX="$(cat /run/secrets/index)" uv sync --locked --no-dev

FROM ${BASE_IMAGE}
COPY --from=builder /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app/src
WORKDIR /app
ENTRYPOINT ["python", "-u"]

# The baseline: the Dockerfile of the blog post that the method comes from ("Our Amazon SageMaker
# Processing job setup", 2021), step by step. Different are only: the base; the versions, which
# tools/poetry.txt fixes; a virtual environment for pip, which the stand-in base lacks; Poetry 2's name
# for --no-dev; and the plug-in with which Poetry installs from mirrors.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG POETRY_PYPI_MIRROR_URL
ENV PATH=/opt/venv/bin:$PATH REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /opt
COPY poetry.lock pyproject.toml tools/poetry.txt ./
RUN python -m venv /opt/venv && sed -n 's/^\([a-z0-9._-]*==[^ ]*\).*/\1/p' poetry.txt >versions.txt \
    && pip install --constraint versions.txt poetry poetry-plugin-pypi-mirror
RUN poetry config virtualenvs.create false
RUN poetry install --only main --no-root
COPY entrypoints src/
COPY src src/
RUN echo "SOURCE_COMMIT: $SOURCE_COMMIT"
ENTRYPOINT ["python", "-u", "src/entrypoint.py"]

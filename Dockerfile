# The SDK container for Beam workers, and the command line: one image.
#
#   docker build --tag reembed:0.1.0 .
#   docker run --rm --entrypoint reembed reembed:0.1.0 --help
#   reembed run CONFIG -- --runner=… --sdk_container_image=REGISTRY/reembed:0.1.0
#
# Not built and not run yet: there was no container engine at hand. The install steps are those of
# scripts/setup, but for --editable. No key belongs in here: workers read it from their environment.
FROM apache/beam_python3.11_sdk:2.77.0 AS beam

FROM python:3.11-slim

# Workers start this; its version must be the one of apache-beam in requirements.lock.
COPY --from=beam /opt/apache/beam /opt/apache/beam

# The second line keeps the worker from making, as root, an environment of its own at each start.
ENV PYTHONUNBUFFERED=1 \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1

WORKDIR /app
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --quiet --disable-pip-version-check --requirement requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY pipelines ./pipelines
RUN python -m pip install --no-cache-dir --quiet --disable-pip-version-check --no-deps --no-build-isolation . \
    && python -m pip check \
    && useradd --create-home --uid 10001 reembed

USER reembed
ENTRYPOINT ["/opt/apache/beam/boot"]

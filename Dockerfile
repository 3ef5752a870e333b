# One image for three uses: the SDK container of Dataflow's workers, the launcher of a Flex Template,
# and, as the target `cli`, the command line under a user of its own.
#
#   scripts/dataflow-build --project P --region R --repository A --bucket B
#   docker build --target cli --tag reembed-cli . && docker run --rm reembed-cli --help
#
# How one image serves workers and launcher:
#   https://cloud.google.com/dataflow/docs/guides/build-container-image
#   https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
# Dataflow starts a worker by the entry point and a launcher by the launcher's path, so the entry
# point is the worker's. Versions are pinned here; digests are not, since they could not be looked
# up where this was written: scripts/dataflow-build uses the digest of what it has built.
# No key belongs in here: each process reads it from Secret Manager or from its environment.

# The version of apache-beam in requirements.lock.
ARG BEAM=2.77.0
ARG PYTHON=3.11.14-slim-bookworm
# The tag of Google's own example of one such image. Newer ones:
#   https://cloud.google.com/dataflow/docs/reference/flex-templates-base-images
ARG LAUNCHER=20230622_RC00

FROM apache/beam_python3.11_sdk:${BEAM} AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:${LAUNCHER} AS launcher

FROM python:${PYTHON} AS install
WORKDIR /build
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src ./src
COPY scripts/image-install ./scripts/image-install
RUN ./scripts/image-install /opt/reembed

FROM python:${PYTHON} AS base
COPY --from=install /opt/reembed /opt/reembed
COPY pipelines /template
COPY LICENSE THIRD_PARTY.md /licenses/
# The GPL is that of libx264 and libx265 inside the wheel of `av`; see THIRD_PARTY.md.
LABEL org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-or-later AND LGPL-3.0-or-later AND MPL-2.0"
# The last line keeps workers from making an environment of their own at each start.
ENV PATH=/opt/reembed/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1

FROM base AS cli
RUN useradd --create-home --uid 10001 reembed
USER reembed
WORKDIR /home/reembed
ENTRYPOINT ["reembed"]

# As root: the launcher writes its log under /var/log/dataflow and ends where it cannot
# (https://github.com/GoogleCloudPlatform/python-docs-samples/issues/13213), and workers write
# into a folder that Dataflow mounts from the machine. Both are machines of this one job.
FROM base AS dataflow
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/template.py
WORKDIR /template
ENTRYPOINT ["/opt/apache/beam/boot"]

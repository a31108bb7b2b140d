# The gateway as an image: it runs as an unprivileged user, writes only to its volumes, and contains no build tools.
#
#   docker build -t dragoman .
#
# docs/container.md explains how to run it. The build steps are in container/install.sh.

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE}
ARG EXTRAS=cloud
ARG USER_ID=1000
ARG GROUP_ID=1000
# The source is mounted, so that it is not part of the image and the installation is not copied.
RUN --mount=type=bind,target=/source \
    EXTRAS=${EXTRAS} PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 sh /source/container/install.sh application /source
RUN --mount=type=bind,source=container,target=/container sh /container/install.sh account

ENV PATH=/opt/dragoman/bin:/usr/local/bin:/usr/bin:/bin
ENV HOME=/state
ENV PYTHONDONTWRITEBYTECODE=1
ENV PYTHONUNBUFFERED=1
ENV DRAGOMAN_HOST=0.0.0.0
ENV DRAGOMAN_STATE_DIR=/state
ENV CLAUDE_CONFIG_DIR=/sign-in

VOLUME ["/state", "/sign-in"]
WORKDIR /workspace
# Numeric ids, because a cluster can check them before it starts the container.
USER ${USER_ID}:${GROUP_ID}
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s CMD ["dragoman", "status"]
ENTRYPOINT ["dragoman"]
CMD ["serve"]

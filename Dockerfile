# syntax=docker/dockerfile:1
# Two stages: the first has pip and fills a virtual environment from the hashed lock, the second has neither.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/headworks
COPY requirements.lock /tmp/requirements.lock
RUN /opt/headworks/bin/pip install --require-hashes -r /tmp/requirements.lock \
 && /opt/headworks/bin/pip uninstall -y pip
COPY appliance /opt/headworks/product/appliance
COPY broker /opt/headworks/product/broker
COPY firmware_store /opt/headworks/product/firmware_store
COPY web /opt/headworks/product/web
RUN /opt/headworks/bin/python -m compileall -q /opt/headworks/lib /opt/headworks/product

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="headworks" \
      org.opencontainers.image.description="Self-hosted IoT gateway: broker, registry, alerts, time series, dashboard" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed number, so that a mounted volume keeps its owner from release to release.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/headworks --shell /usr/sbin/nologin headworks \
 && install -d -m 700 -o headworks -g headworks /var/lib/headworks
COPY --from=build /opt/headworks /opt/headworks
ENV PATH=/opt/headworks/bin:$PATH \
    PYTHONPATH=/opt/headworks/product \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADWORKS__DATA=/var/lib/headworks
USER 10001:10001
WORKDIR /var/lib/headworks
VOLUME /var/lib/headworks
EXPOSE 8080 8443 8444 8883 9443
STOPSIGNAL SIGTERM
# The certificate is the gateway's own, for the names of the LAN: asking oneself needs no proof of identity.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import ssl, urllib.request as r; r.urlopen('https://127.0.0.1:8443/readyz', timeout=4, context=ssl._create_unverified_context())"]
ENTRYPOINT ["python", "-m", "appliance"]
CMD ["run"]

#!/bin/sh
# Builds the container image with whichever tool is here; further arguments go to it.
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."

# Docker may be here as a client without an engine.
if docker info >/dev/null 2>&1; then
    exec docker build -t headworks "$@" .
fi
# Only Docker's own format keeps the health check.
for tool in podman buildah; do
    ! command -v "$tool" >/dev/null 2>&1 || exec "$tool" build --format docker -t headworks "$@" .
done
echo "image: needs docker, podman or buildah. On Debian run: sudo apt-get install -y buildah" >&2
exit 1

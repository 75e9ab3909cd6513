#!/bin/sh
# Builds the container image with whichever tool is here; further arguments go to it.
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."
for tool in docker podman buildah; do
    command -v "$tool" >/dev/null 2>&1 || continue
    [ "$tool" = docker ] && ! docker info >/dev/null 2>&1 && continue    # a client without an engine
    # Only this format keeps the health check; Docker writes no other.
    [ "$tool" = docker ] || set -- --format docker "$@"
    exec "$tool" build -t headworks "$@" .
done
echo "image: needs docker, podman or buildah. On Debian run: sudo apt-get install -y buildah" >&2
exit 1

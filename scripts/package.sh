#!/bin/sh
# Makes build/headworks_VERSION_ARCH.deb. It carries the wheels of every dependency for the Pythons of
# Debian 12 and 13, so that installing it needs no network.
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."
python=${HEADWORKS_VENV:-.venv}/bin/python
command -v dpkg-deb >/dev/null 2>&1 || { echo "package: needs dpkg-deb, that is Debian" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
architecture=$(dpkg --print-architecture)
case $architecture in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) echo "package: $architecture is not supported, only amd64 and arm64 are" >&2; exit 1 ;;
esac

rm -rf build/package build/lib
tree=build/package
share=$tree/usr/share/headworks
mkdir -p "$tree/DEBIAN" "$share/wheels" "$tree/usr/bin" "$tree/etc/headworks" \
    "$tree/usr/lib/systemd/system" "$tree/usr/lib/sysusers.d" "$tree/usr/share/doc/headworks"

for minor in 11 13; do
    "$python" -m pip download -q --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
        --python-version "3.$minor" --implementation cp --abi "cp3$minor" --abi abi3 --abi none \
        --platform "manylinux_2_34_$machine" --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" \
        --platform "manylinux2014_$machine" --platform "manylinux_2_5_$machine" --platform "manylinux1_$machine" \
        --platform any -r requirements.lock -d "$share/wheels"
done
"$python" -m pip wheel -q --disable-pip-version-check --no-deps -w "$share/wheels" .

cp requirements.lock "$share/"
cp README.md LICENSE CHANGELOG.md "$tree/usr/share/doc/headworks/"
# How readings are read where the gateway itself does not run any more.
cp docs/reference/chunks.md docs/reference/read_day.py "$tree/usr/share/doc/headworks/"
cp systemd/headworks.service "$tree/usr/lib/systemd/system/"
cp systemd/headworks.sysusers "$tree/usr/lib/sysusers.d/headworks.conf"
cp systemd/config.toml "$tree/etc/headworks/"
ln -s ../lib/headworks/current/bin/headworks "$tree/usr/bin/headworks"
echo /etc/headworks/config.toml >"$tree/DEBIAN/conffiles"

cat >"$tree/DEBIAN/control" <<CONTROL
Package: headworks
Version: $version
Architecture: $architecture
Maintainer: The Headworks maintainers <maintainers@headworks.invalid>
Section: net
Priority: optional
Depends: python3 (>= 3.11), python3-venv, ca-certificates, systemd
Installed-Size: $(du -sk "$tree" | cut -f1)
Description: Self-hosted IoT gateway
 Broker, device registry, alerts, time series and dashboard in one process.
CONTROL

for script in postinst prerm postrm; do
    sed "s/@VERSION@/$version/g" "systemd/debian/$script" >"$tree/DEBIAN/$script"
    chmod 755 "$tree/DEBIAN/$script"
done

dpkg-deb --root-owner-group --build "$tree" "build/headworks_${version}_$architecture.deb"
rm -rf build/package build/lib

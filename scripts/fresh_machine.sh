#!/bin/sh
# Runs a command of ./headworks from a clean clone, in an empty Debian root with an empty environment.
#
#   scripts/fresh_machine.sh bookworm|trixie COMMAND [ARGUMENTS]
#
# Needs root and debootstrap. FRESH_ROOT keeps the root in that folder and uses it again (the clone is
# made anew); otherwise it is removed at the end. FRESH_MIRROR is where Debian comes from, if not from
# debootstrap's own choice. Only what is committed is tried.
set -eu
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
checkout=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
suite=$1
shift
root=${FRESH_ROOT:-$(mktemp -d)}

leave() {
    for place in dev/shm dev/pts dev proc; do
        ! mountpoint -q "$root/$place" || umount "$root/$place"
    done
    [ -n "${FRESH_ROOT:-}" ] || rm -rf "$root"
}
trap leave EXIT
trap 'exit 143' INT TERM

[ -x "$root/usr/bin/apt-get" ] ||
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${FRESH_MIRROR:+"$FRESH_MIRROR"} >"$root.log" 2>&1 ||
    { tail "$root.log" >&2; exit 1; }
rm -f "$root.log"

# What belongs to the network this machine is in, and nothing else of it: names, trust, pip's settings.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/network.crt"
[ ! -e /etc/pip.conf ] || grep -v '^ *\(find-links\|.*index-url\)' /etc/pip.conf >"$root/etc/pip.conf"

mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t devpts devpts "$root/dev/pts" 2>/dev/null || true
mount -t tmpfs tmpfs "$root/dev/shm"

rm -rf "$root/srv/headworks"
git clone -q "$checkout" "$root/srv/headworks"
chroot "$root" /usr/bin/env -i \
    SSL_CERT_FILE=/etc/ssl/certs/network.crt PIP_CERT=/etc/ssl/certs/network.crt \
    /srv/headworks/headworks "$@"

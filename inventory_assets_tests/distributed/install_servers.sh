#!/bin/sh
# Install PostgreSQL and Redis from Debian's packages, where that is possible and not done yet;
# libfaketime, for a machine whose clock is wrong; and what makes and boots a clean Debian.
packages="postgresql redis-server iproute2 libfaketime debootstrap systemd-container"
ls /usr/lib/postgresql/*/bin/postgres /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 &&
  command -v redis-server ip debootstrap systemd-nspawn >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "PostgreSQL and Redis are not installed, and cannot be: install them (Debian: $packages)" >&2
  exit 1
fi
echo "installing PostgreSQL and Redis from the system's packages ..." >&2
# Nothing of them runs but what a test starts.
apt-get update -qq >/dev/null && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq -y --no-install-recommends $packages >/dev/null

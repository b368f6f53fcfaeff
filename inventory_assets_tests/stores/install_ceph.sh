#!/bin/sh
# Install Ceph's gateway from Debian's packages, where that is possible and not done yet.
command -v radosgw ceph-mon ceph-osd ceph >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Ceph is not installed, and cannot be: its tests are skipped (Debian: radosgw ceph-mon ceph-osd ceph-common)" >&2
  exit 1
fi
echo "installing Ceph's gateway from the system's packages ..." >&2
apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common >/dev/null

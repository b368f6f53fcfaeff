#!/bin/sh
# Install Ceph's gateway and Swift from Debian's packages, where that is possible and not done yet.
packages="radosgw ceph-mon ceph-osd ceph-common swift-proxy swift-account swift-container swift-object"
command -v radosgw >/dev/null && command -v swift-proxy-server >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Ceph and Swift are not installed, and cannot be: their tests are skipped (Debian: $packages)" >&2
  exit 1
fi
echo "installing Ceph's gateway and Swift from the system's packages ..." >&2
# Nothing of them runs but what a test starts.
apt-get update -qq >/dev/null && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq -y --no-install-recommends $packages >/dev/null

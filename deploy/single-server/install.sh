#!/bin/sh
# Installs the inventories on this machine: the user, the environment from the lock file, the
# configuration and the units. Run it as root in a checkout; run it again to upgrade. It needs Python
# 3.11 to 3.13 with venv, and starts nothing. It does not replace the files of /etc/inventory.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
venv=/opt/inventory
etc=/etc/inventory

[ "$(id -u)" = 0 ] || { echo "install.sh: run it as root" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
  echo "install.sh: Python 3.11 to 3.13 is needed; name one with PYTHON=" >&2
  exit 1
}

getent group inventory >/dev/null || groupadd --system inventory
getent passwd inventory >/dev/null || useradd --system --gid inventory \
  --home-dir /var/lib/inventory --no-create-home --shell /usr/sbin/nologin inventory

echo "installing into $venv ..." >&2
"$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir "$@"; }
pip install --no-deps --require-hashes -r "$project/requirements-server.lock"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
"$python" -m venv "$build/venv"
"$build/venv/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir install \
  --no-deps --require-hashes -r "$project/requirements-build.lock"
"$build/venv/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir wheel \
  --no-deps --no-build-isolation --wheel-dir "$build" "$project"
pip install --no-deps --force-reinstall "$build"/inventory_assets-*.whl
"$venv/bin/python" -m compileall -q "$venv/lib" || true

install -d -m 0750 -o root -g inventory "$etc"
keep() { # source, name, mode
  [ -e "$etc/$2" ] || install -m "$3" -o root -g inventory "$1" "$etc/$2"
}
keep "$here/dagster.yaml" dagster.yaml 0640
keep "$here/workspace.yaml" workspace.yaml 0640
keep "$here/inventory.toml" inventory.toml 0640
keep "$here/inventory.env.example" inventory.env 0640
install -D -m 0644 "$here/tmpfiles.conf" /etc/tmpfiles.d/inventory.conf
install -d /etc/systemd/system/inventory-.service.d
install -m 0644 "$here/systemd/inventory-.service.d/common.conf" /etc/systemd/system/inventory-.service.d/
for unit in code daemon webserver; do
  install -m 0644 "$here/systemd/inventory-$unit.service" /etc/systemd/system/
done

cat >&2 <<'TEXT'
Installed. Now:
  1. edit /etc/inventory/inventory.toml and /etc/inventory/inventory.env;
  2. check them: runuser -u inventory -- env INVENTORY_CONFIG=/etc/inventory/inventory.toml \
       /opt/inventory/bin/inventory check-config
  3. systemctl daemon-reload
     systemctl enable --now inventory-code inventory-daemon inventory-webserver
TEXT

#!/usr/bin/env bash
# Install what `nox -s servers` needs beyond pip, on Debian or Ubuntu; as root or with sudo. About a minute, once.
set -euo pipefail

packages=(ceph-mon ceph-osd radosgw openssh-client openssh-server postgresql)
if ! command -v apt-get >/dev/null; then
  echo "this installs on Debian and Ubuntu alone; elsewhere, install Ceph's mon, osd and radosgw, OpenSSH, and PostgreSQL" >&2
  exit 1
fi
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [[ ${#missing[@]} -gt 0 ]]; then
  as_root=()
  if [[ $EUID -ne 0 ]]; then
    as_root=(sudo --non-interactive)
    if ! "${as_root[@]}" true; then
      echo "${missing[*]} are not installed; install them as root: sudo ${BASH_SOURCE[0]}" >&2
      exit 1
    fi
  fi
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"
fi

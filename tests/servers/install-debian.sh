#!/usr/bin/env bash
# Install what `nox -s servers` needs beyond pip, on Debian or Ubuntu; needs root. About a minute.
set -euo pipefail

packages=(ceph-mon ceph-osd radosgw openssl openssh-client openssh-server)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [[ ${#missing[@]} -gt 0 ]]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends "${missing[@]}"
fi

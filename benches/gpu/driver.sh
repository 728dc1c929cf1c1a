#!/bin/sh
# Unpacks Mesa's driver for AMD GPUs and its substitute for the kernel driver into a directory beside the system's own
# (default: ~/.cache/tonotopy/mesa), and prints the directory. Nothing is installed. Needs Debian, apt-get and dpkg.
#
# The substitute (drm-shim) accepts all work and executes none: programs see a GPU, and take as long as the host does.
set -eu
target=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/tonotopy/mesa}
mkdir -p "$target"
target=$(cd "$target" && pwd)
library=$target/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
if [ ! -e "$target/radeon.json" ]; then
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:?is not set in /etc/os-release}")
    mkdir -p "$target/apt/lists/partial" "$target/apt/cache/archives/partial" "$target/deb"
    mirror=http://deb.debian.org/debian
    for suite in "$release" "$release-backports"; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done >"$target/apt/sources.list"
    cat >"$target/apt/apt.conf" <<EOF
Dir::Etc::SourceList "$target/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$target/apt/lists";
Dir::Cache "$target/apt/cache";
EOF
    export APT_CONFIG="$target/apt/apt.conf"
    apt-get update -qq >&2
    for package in mesa-vulkan-drivers mesa-drm-shim; do
        # Without backports, the release's own.
        (cd "$target/deb" && { apt-get download -qq "$package/$release-backports" ||
            apt-get download -qq "$package"; }) >&2
    done
    for package in "$target"/deb/*.deb; do dpkg -x "$package" "$target"; done
    missing=$(ldd "$library/libvulkan_radeon.so" | grep 'not found' || true)
    [ -z "$missing" ] || { echo "driver.sh: install mesa-vulkan-drivers for: $missing" >&2; exit 1; }
    # The driver's description names its library without a directory.
    sed "s|\"library_path\": *\".*\"|\"library_path\": \"$library/libvulkan_radeon.so\"|" \
        "$target"/usr/share/vulkan/icd.d/radeon_icd*.json >"$target/radeon.json.new"
    mv "$target/radeon.json.new" "$target/radeon.json"
fi
echo "$target"

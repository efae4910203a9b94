#!/bin/sh
# Tests setup.sh on simulated machines: a folder stands for the file system, small scripts for the package managers.
# Nothing is installed and no rights are needed. Without it, only users would find that setup.sh installs by mistake on a
# machine with a GPU, or not at all on a fresh one.
set -eu

here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failed=0

# A machine: $work/root is its file system, $work/bin its whole PATH, $work/log what it was asked to do.
machine() {
    rm -rf "${work:?}/root" "${work:?}/bin" "$work/log"
    mkdir -p "$work/bin" "$work/root/usr/share/vulkan/icd.d" "$work/root/etc" "$work/root/dev/dri" "$work/root/usr/lib"
    : >"$work/log"
    for tool in sh sed od tr head dirname basename readlink env rm cp mkdir cat; do
        ln -s "$(command -v "$tool")" "$work/bin/$tool"
    done
    shim cargo 'echo cargo 1.99.0'
    shim cc ':'
    shim uname "echo ${1:-Linux}"
    shim id 'case "$*" in -u) echo 0 ;; *) echo anna ;; esac'
    shim ldconfig ':'
    case "${1:-Linux}" in Linux) library libvulkan.so.1 ;; esac
}
shim() { printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1" && chmod +x "$work/bin/$1"; }
library() { cp "$(readlink -f /bin/sh)" "$work/root/usr/lib/$1"; } # any ELF file of this machine's kind
# manifest NAME LIBRARY: an installed driver, its library in place
manifest() {
    printf '{"ICD": {"library_path": "%s"}}\n' "$2" >"$work/root/usr/share/vulkan/icd.d/$1"
    library "$(basename "$2")"
}
# A package manager that notes its words and, when asked to install, brings lavapipe and the loader.
manager() {
    shim "$1" "echo $1 \"\$*\" >>$work/log
case \"\$*\" in update) exit 0 ;; esac
${2:-}
echo '{\"ICD\": {\"library_path\": \"libvulkan_lvp.so\"}}' >$work/root/usr/share/vulkan/icd.d/lvp_icd.x86_64.json
cp $(readlink -f /bin/sh) $work/root/usr/lib/libvulkan_lvp.so
cp $(readlink -f /bin/sh) $work/root/usr/lib/libvulkan.so.1"
}

# expect TITLE EXIT-CODE LOG WORDS: runs setup.sh and compares its exit code, what it asked for, and words it printed.
expect() {
    code=0
    env -i PATH="$work/bin" HOME="$work/root/home" WGSLAB_SETUP_ROOT="$work/root" ${extra:+"$extra"} \
        sh "$here/setup.sh" >"$work/out" 2>&1 || code=$?
    extra=""
    log="$(tr '\n' ';' <"$work/log")"
    if [ "$code" = "$2" ] && [ "$log" = "$3" ] && grep -qF -- "$4" "$work/out"; then
        echo "ok      $1"
    else
        failed=1
        printf 'FAILED  %s\n  exit %s (want %s), asked for "%s" (want "%s"), words "%s", printed:\n' "$1" "$code" "$2" "$log" "$3" "$4"
        sed 's/^/    /' "$work/out"
    fi
}
extra=""

machine
manifest lvp_icd.x86_64.json libvulkan_lvp.so
manager apt-get
expect "the software driver is there: nothing happens" 0 "" "nothing to install"

machine
manager apt-get
expect "nothing there, apt" 0 "apt-get install -y mesa-vulkan-drivers;" "is ready"

machine
rm "$work/root/usr/lib/libvulkan.so.1"
manager apt-get
expect "nothing there, not even the loader" 0 "apt-get install -y libvulkan1 mesa-vulkan-drivers;" "is ready"

machine
manager apt-get "[ -e $work/root/lists ] || { : >$work/root/lists; exit 100; }"
expect "apt without package lists: update, then again" 0 \
    "apt-get install -y mesa-vulkan-drivers;apt-get update;apt-get install -y mesa-vulkan-drivers;" "refreshing"

machine
manager apt-get "exit 100"
expect "apt cannot install: says what to type" 1 \
    "apt-get install -y mesa-vulkan-drivers;apt-get update;apt-get install -y mesa-vulkan-drivers;" "  apt-get install -y mesa-vulkan-drivers"

machine
manager dnf
rm "$work/root/usr/lib/libvulkan.so.1"
expect "nothing there, dnf" 0 "dnf install -y vulkan-loader mesa-vulkan-drivers;" "is ready"

machine
manager pacman
expect "nothing there, pacman" 0 "pacman -S --needed --noconfirm vulkan-swrast;" "is ready"

machine
expect "no package manager: says what is needed" 1 "" "lavapipe"

machine
manifest radeon_icd.x86_64.json libvulkan_radeon.so
manager apt-get
expect "a GPU's manifest without its GPU is no adapter" 0 "apt-get install -y mesa-vulkan-drivers;" "is ready"

machine
manifest radeon_icd.x86_64.json libvulkan_radeon.so
: >"$work/root/dev/dri/renderD128"
manager apt-get
expect "a GPU with its driver: nothing happens" 0 "" "found a Vulkan driver and its GPU"

machine
manifest radeon_icd.x86_64.json libvulkan_radeon.so
: >"$work/root/dev/dri/renderD128"
mkdir -p "$work/root/sys/class/drm/renderD128/device" "$work/root/drivers/virtio_gpu"
ln -s "$work/root/drivers/virtio_gpu" "$work/root/sys/class/drm/renderD128/device/driver"
manager apt-get
expect "another vendor's GPU does not count" 0 "apt-get install -y mesa-vulkan-drivers;" "is ready"

machine
manifest nvidia_icd.json libGLX_nvidia.so.0
: >"$work/root/dev/nvidia0"
rm "$work/root/usr/lib/libvulkan.so.1"
manager apt-get
expect "NVIDIA's driver without the loader: the loader alone" 0 "apt-get install -y libvulkan1;" "nvidia_icd.json"

machine
manifest lvp_icd.i686.json "$work/root/usr/lib/libvulkan_lvp32.so"
printf '\177ELF\001\001' >"$work/root/usr/lib/libvulkan_lvp32.so"
manager apt-get
expect "a 32-bit driver does not count" 0 "apt-get install -y mesa-vulkan-drivers;" "is ready"

machine
manifest lvp_icd.x86_64.json libvulkan_lvp.so
rm "$work/root/usr/lib/libvulkan_lvp.so"
manager apt-get
expect "a manifest without its library does not count" 0 "apt-get install -y mesa-vulkan-drivers;" "is ready"

machine
manager apt-get
extra="VK_DRIVER_FILES=/nowhere.json"
expect "VK_DRIVER_FILES names nothing: installing would not help" 1 "" "Unset it"

machine
mkdir "$work/root/own"
printf '{"ICD": {"library_path": "./libown.so"}}\n' >"$work/root/own/lvp_own.json"
cp "$(readlink -f /bin/sh)" "$work/root/own/libown.so"
manager apt-get
extra="VK_ICD_FILENAMES=/nowhere.json:$work/root/own/lvp_own.json"
expect "VK_ICD_FILENAMES names a driver by a relative path" 0 "" "nothing to install"

machine
shim id 'case "$*" in -u) echo 1000 ;; *) echo anna ;; esac'
manager apt-get
expect "no rights and no sudo: says what to type" 1 "" "sudo apt-get install -y mesa-vulkan-drivers"

machine
shim id 'case "$*" in -u) echo 1000 ;; *) echo anna ;; esac'
shim sudo 'exit 1'
manager apt-get
expect "sudo wants a password: says what to type" 1 "" "sudo apt-get install -y mesa-vulkan-drivers"

machine
shim id 'case "$*" in -u) echo 1000 ;; *) echo anna ;; esac'
shim sudo "[ \"\$2\" = true ] || echo sudo >>$work/log; shift; case \$1 in true) exit 0 ;; esac; exec \"\$@\""
manager apt-get
expect "sudo without a password: installs" 0 "sudo;apt-get install -y mesa-vulkan-drivers;" "is ready"

if [ "$(id -u)" != 0 ]; then # root may open everything
    machine
    manifest radeon_icd.x86_64.json libvulkan_radeon.so
    : >"$work/root/dev/dri/renderD128" && chmod 0 "$work/root/dev/dri/renderD128"
    manager apt-get
    expect "a GPU this user may not open: says how" 1 "" "usermod -aG render"
fi

machine
rm "$work/bin/cargo"
expect "no cargo: says what to type" 1 "" "rustup default stable"

machine
rm "$work/bin/cc"
expect "no C compiler: says what to type" 1 "" "gcc libc6-dev"

machine Darwin
expect "macOS needs nothing" 0 "" "Metal"

machine MINGW64_NT
rm "$work/bin/cc"
expect "Windows needs nothing" 0 "" "DX12"

exit "$failed"

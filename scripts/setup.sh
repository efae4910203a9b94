#!/bin/sh
# Makes a machine ready to build and run wgslab. It checks for the tools, and gives Linux a Vulkan adapter if there is
# none. It is safe to run again: on a ready machine it changes nothing and says so.
#
# It installs only one thing, and only on Linux without an adapter: Mesa's software driver (lavapipe), a Vulkan adapter on
# the CPU. A machine with a working GPU keeps its drivers as they are.
set -eu

# The tests of this script set this to a folder that stands for the root of the file system.
root="${WGSLAB_SETUP_ROOT:-}"

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# ---------------------------------------------------------------- tools

check_tools() {
    if ! has cargo; then
        fail "cargo is missing: Rust 1.87 or newer builds wgslab. Install rustup, then the stable toolchain:" \
            "  Debian, Ubuntu:  sudo apt-get install rustup && rustup default stable" \
            "  Fedora:          sudo dnf install rustup && rustup-init -y" \
            "  Arch:            sudo pacman -S rustup && rustup default stable" \
            "  macOS:           brew install rustup && rustup default stable" \
            "  Where there is no such package, the Rust website has an installer. Then open a new shell and try again."
    fi
    # cc links every Rust program; on Windows the toolchain brings or names its own linker.
    case "$system" in MINGW* | MSYS* | CYGWIN*) return ;; esac
    if ! has cc; then
        fail "a C compiler named cc is missing: Rust links with it. Install one:" \
            "  Debian, Ubuntu:  sudo apt-get install gcc libc6-dev" \
            "  Fedora:          sudo dnf install gcc" \
            "  Arch:            sudo pacman -S gcc" \
            "  macOS:           xcode-select --install"
    fi
    say "found $(cargo --version) and a C compiler."
}

# ---------------------------------------------------------------- libraries

# Word size and machine of an ELF file. A 32-bit driver on a 64-bit system is a file that exists and never loads.
elf_kind() { od -An -tx1 -j4 -N1 "$1" 2>/dev/null && od -An -tx1 -j18 -N2 "$1" 2>/dev/null; }
loads() { [ -f "$1" ] && [ "$(elf_kind "$1")" = "$(elf_kind /bin/sh)" ]; }

# find_library NAME: true where the dynamic linker would find it.
find_library() {
    # ldconfig is often outside the PATH of ordinary users; where it is missing, the usual folders stand in.
    for library in $(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | sed -n "s|^[[:space:]]*$1 .*=> ||p"); do
        if loads "$library"; then return 0; fi
    done
    old_ifs="$IFS"
    IFS=:
    for dir in ${LD_LIBRARY_PATH:-} "$root/usr/lib" "$root/usr/lib64" "$root"/usr/lib/*-linux-gnu*; do
        if [ -n "$dir" ] && loads "$dir/$1"; then
            IFS="$old_ifs"
            return 0
        fi
    done
    IFS="$old_ifs"
    return 1
}

# ---------------------------------------------------------------- adapters

# Every manifest the Vulkan loader would read, one a line, in its own order of search.
list_manifests() {
    chosen="${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}"
    if [ -n "$chosen" ]; then
        places="$chosen" # these variables replace the search
    else
        places="${VK_ADD_DRIVER_FILES:-}"
        data="${XDG_DATA_DIRS:-$root/usr/local/share:$root/usr/share}"
        config="${XDG_CONFIG_DIRS:-$root/etc/xdg}"
        for base in "${XDG_CONFIG_HOME:-${HOME:-}/.config}" "$config" "$root/etc" \
            "${XDG_DATA_HOME:-${HOME:-}/.local/share}" "$data" "$root/run/opengl-driver/share"; do
            places="$places:$(printf '%s' "$base" | sed 's|:|/vulkan/icd.d:|g')/vulkan/icd.d"
        done
    fi
    printf '%s\n' "$places" | tr ':' '\n' | while IFS= read -r place; do
        if [ -d "$place" ]; then
            for manifest in "$place"/*.json; do
                if [ -f "$manifest" ]; then printf '%s\n' "$manifest"; fi
            done
        elif [ -f "$place" ]; then
            printf '%s\n' "$place"
        fi
    done
}

# True where the library a manifest names is there to load.
manifest_loads() {
    library="$(sed -n 's/.*"library_path"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$1" | head -n 1)"
    case "$library" in
    "") return 1 ;;
    /*) loads "$library" ;;
    */*) loads "$(dirname "$1")/$library" ;;
    *) find_library "$library" ;;
    esac
}

# True where one of the files is a device that this user may open; notes one that is there but closed.
may_open() {
    for node in "$@"; do
        [ -e "$node" ] || continue
        if [ -r "$node" ] && [ -w "$node" ]; then return 0; fi
        closed="$node"
    done
    return 1
}

# render_node DRIVERS: a DRI render node run by one of these kernel drivers ("any" for all). Mesa installs the manifests
# of every vendor at once, so a manifest alone says nothing of the card.
render_node() {
    for node in "$root"/dev/dri/renderD*; do
        [ -e "$node" ] || continue
        link="$root/sys/class/drm/${node##*/}/device/driver"
        driver=any # containers may hide /sys: then any render node counts
        if [ -e "$link" ]; then driver="$(basename "$(readlink -f "$link")")"; fi
        case " $1 any " in
        *" $driver "* | " any any ") if may_open "$node"; then return 0; fi ;;
        esac
    done
    return 1
}

# True where the device that a manifest's driver runs is in the machine.
device_present() {
    case "$(basename "$1")" in
    nvidia*) may_open "$root"/dev/nvidia[0-9]* "$root"/dev/nvhost-gpu "$root"/dev/nvmap || render_node "nvidia nvidia-drm" ;;
    radeon* | amd*) render_node "amdgpu radeon" ;;
    intel*) render_node "i915 xe" ;;
    nouveau*) render_node nouveau ;;
    virtio* | gfxstream*) render_node "virtio_gpu virtio-pci" ;;
    broadcom*) render_node "v3d" ;;
    dzn*) may_open "$root"/dev/dxg ;;
    *) may_open "$root"/dev/mali* "$root"/dev/kgsl* || render_node any ;;
    esac
}

# Sets hardware and software to the manifest of the first usable driver of each kind, or to nothing.
find_drivers() {
    hardware="" software="" closed=""
    while IFS= read -r manifest; do
        [ -n "$manifest" ] || continue
        manifest_loads "$manifest" || continue
        case "$(basename "$manifest")" in
        lvp* | *swiftshader*) software="${software:-$manifest}" ;;
        *) if [ -z "$hardware" ] && device_present "$manifest"; then hardware="$manifest"; fi ;;
        esac
    done <<EOF
$(list_manifests)
EOF
}

# ---------------------------------------------------------------- packages

# as_root COMMAND: runs it with the right to install, and never waits for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# What to type, for a person: the same command with sudo in front unless they are root.
by_hand() {
    if [ "$(id -u)" = 0 ]; then printf '  %s' "$*"; else printf '  sudo %s' "$*"; fi
}

# install_packages LOADER DRIVER: each is yes or no.
install_packages() {
    if has apt-get; then
        names="$([ "$1" = no ] || printf 'libvulkan1 ')$([ "$2" = no ] || printf 'mesa-vulkan-drivers')"
        command="apt-get install -y $names"
    elif has dnf; then
        names="$([ "$1" = no ] || printf 'vulkan-loader ')$([ "$2" = no ] || printf 'mesa-vulkan-drivers')"
        command="dnf install -y $names"
    elif has pacman; then
        names="$([ "$1" = no ] || printf 'vulkan-icd-loader ')$([ "$2" = no ] || printf 'vulkan-swrast')"
        command="pacman -S --needed --noconfirm $names"
    else
        fail "no package manager known here (apt, dnf, pacman). Install by hand the Vulkan loader (libvulkan.so.1) and" \
            "Mesa's software Vulkan driver (lavapipe), then run this again."
    fi
    command="${command% }"
    if [ "$(id -u)" != 0 ] && ! { has sudo && sudo -n true 2>/dev/null; }; then
        fail "installing needs administrator rights, which this user does not have without a password. Type:" \
            "$(by_hand "$command")" "and run this again."
    fi
    say "installing with: $command"
    # shellcheck disable=SC2086 # the command is words of our own, meant to split
    case "$command" in
    apt-get*)
        # A fresh machine has no package lists and an old one stale lists; only then are they fetched.
        as_root env DEBIAN_FRONTEND=noninteractive $command && return 0
        say "that did not work with the package lists at hand: refreshing them with apt-get update and trying again."
        as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive $command && return 0
        ;;
    *) as_root $command && return 0 ;;
    esac
    # pacman's lists are not refreshed here: that asks for a whole upgrade of the system, which is for its owner to choose.
    case "$command" in pacman*) command="pacman -Syu $names" ;; esac
    fail "the package manager could not install it; its own message stands above. When that is mended, type:" \
        "$(by_hand "$command")" "and run this again."
}

# ---------------------------------------------------------------- main

ensure_vulkan() {
    find_drivers
    loader=no driver=no
    find_library libvulkan.so.1 || loader=yes
    if [ -z "$hardware$software" ]; then driver=yes; fi
    if [ "$driver" = yes ] && [ -n "$closed" ]; then
        fail "there is a GPU ($closed), but this user may not open it. Type:" \
            "  sudo usermod -aG render,video $(id -un)" "log out and in, and run this again."
    fi
    if [ "$driver" = yes ] && [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
        fail "VK_DRIVER_FILES or VK_ICD_FILENAMES is set and names no usable driver, and Vulkan looks nowhere else then." \
            "Unset it, or let it name a driver's manifest."
    fi
    if [ "$loader$driver" = nono ]; then
        if [ -n "$hardware" ]; then
            say "found a Vulkan driver and its GPU ($hardware): nothing to install."
        else
            say "found Mesa's software Vulkan driver ($software) and no GPU to use: nothing to install."
        fi
        return
    fi
    if [ "$driver" = yes ]; then
        say "no Vulkan adapter here: installing Mesa's software driver, which runs on the CPU."
    else
        say "there is a Vulkan driver ($hardware$software) but no Vulkan loader: installing the loader alone."
    fi
    install_packages "$loader" "$driver"
    find_drivers
    if [ -z "$hardware$software" ] || ! find_library libvulkan.so.1; then
        fail "the packages went in, but no Vulkan driver shows (is XDG_DATA_DIRS set without /usr/share?)." \
            "Manifests are looked for in vulkan/icd.d under /etc and /usr/share."
    fi
    say "done: $hardware$software is ready."
}

system="$(uname -s)"
check_tools
case "$system" in
Linux) ensure_vulkan ;;
Darwin) say "macOS brings Metal: nothing to install." ;;
MINGW* | MSYS* | CYGWIN*) say "Windows brings DX12: nothing to install." ;;
*) say "no set-up is known for $system; wgslab needs a Vulkan driver and libvulkan.so.1 here." ;;
esac

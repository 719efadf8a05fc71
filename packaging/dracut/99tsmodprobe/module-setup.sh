#!/bin/bash
# Module of dracut: tsudevd and a bundle of modules in the place of udevd, kmod and the module tree, in images without systemd.

# Only where it is named (--add tsmodprobe) or configured.
check() {
    [[ -e $dracutsysrootdir/etc/tsmodprobe/initramfs.conf ]] || return 255
    return 0
}

depends() {
    echo base udev-rules
}

install() {
    if dracut_module_included systemd; then
        derror "tsmodprobe: images with systemd start its own udevd: leave it out with --omit 'systemd systemd-initrd dracut-systemd' (omit_dracutmodules+= in dracut.conf.d)"
        return 1
    fi
    local PATH=$PATH:/usr/local/sbin:/usr/local/bin
    if ! command -v tskmod > /dev/null; then
        derror 'tsmodprobe: there is no tskmod: install the package tsmodprobe, or leave this module out with --omit tsmodprobe'
        return 1
    fi
    local -a asked=()
    local module
    while read -r module; do
        module=${module##*/}
        asked+=(--select "${module%%.ko*}")
    done < <(find "$initdir/lib/modules/$kernel/" -name '*.ko*' 2> /dev/null)
    local staged
    staged=$(mktemp -d "${DRACUT_TMPDIR:-/var/tmp}/tsmodprobe.XXXXXX") || return 1
    # shellcheck disable=SC2154
    if ! tskmod initramfs stage --release "$kernel" "${asked[@]}" "$staged/image"; then
        derror "tsmodprobe: nothing was put into the image for $kernel (above)"
        rm -rf -- "$staged"
        return 1
    fi
    local file
    while read -r file; do
        # A library that another program brought.
        [[ -e $initdir/$file ]] && continue
        mkdir -p "$initdir/${file%/*}"
        cp -p "$staged/image/$file" "$initdir/$file"
    done < <(cd "$staged/image" && find . -type f)
    # The single executable is Node with the tools behind it, which strip takes for rubbish.
    # shellcheck disable=SC2034
    [[ -e $staged/image/usr/lib/tsmodprobe/tskmod.cjs ]] || do_strip=no
    rm -rf -- "$staged"
    # dracut makes the indexes of what is left, which is nothing.
    find "$initdir/lib/modules/$kernel/" -name '*.ko*' -exec rm -f {} + 2> /dev/null

    # The start of the daemon is that of the hook below; init.sh starts udevd by its path.
    rm -f "$initdir${systemdutildir:-/lib/systemd}/systemd-udevd" "$initdir/sbin/udevd" "$initdir$udevdir/udevd"
    mkdir -p "$initdir${systemdutildir:-/lib/systemd}"
    ln -s /usr/bin/true "$initdir${systemdutildir:-/lib/systemd}/systemd-udevd"
    inst_multiple true
    ln -sf /usr/lib/tsmodprobe/udevadm "$initdir/usr/bin/udevadm"
    rm -f "$initdir/sbin/udevadm"
    ln -sf /usr/lib/tsmodprobe/tskmod "$initdir/usr/bin/tskmod"
    # shellcheck disable=SC2154
    inst_hook pre-udev 01 "$moddir/prepare.sh"
    inst_hook pre-udev 90 "$moddir/start.sh"
    inst_hook initqueue/settled 90 "$moddir/settled.sh"
    inst_hook cleanup 90 "$moddir/stop.sh"
}

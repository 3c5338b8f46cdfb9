#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# dracut's module: puts loader, gate and pins into the initramfs. Without pins it isn't used.
#
# dracut goes on when a module's install() fails, and the initramfs of a sealed host would enter its root
# without the gate: so what fails here ends dracut.

check() {
    # dracut writes over the initramfs that is there. Where it can't, as with fs-verity, it deletes that and
    # ends, and the host has none. So a copy takes its place first, also where this module isn't used.
    # shellcheck disable=SC2154
    if [ -f "$outfile" ] && ! { : >>"$outfile"; } 2>/dev/null; then
        if ! cp -p "$outfile" "${outfile%/*}/.verity-new" ||
            ! mv "${outfile%/*}/.verity-new" "$outfile"; then
            rm -f "${outfile%/*}/.verity-new"
            dfatal "verity: $outfile can't be replaced"
            exit 1
        fi
    fi
    [ -x /usr/lib/verity/verity-initramfs ] && [ -f /etc/verity/pins/vendor.pin ] &&
        [ -f /etc/verity/pins/user.pin ]
}

depends() {
    echo base
}

installkernel() {
    # The kernel asks for it at the first signature.
    hostonly='' instmods ecdsa_generic
    # An ESP, to put into it what was staged.
    hostonly='' instmods vfat nls_cp437 nls_ascii nls_iso8859-1
}

install() {
    if ! /usr/lib/verity/verity-initramfs "$initdir" ||
        ! inst_multiple cat mount readlink rm sync umount; then
        dfatal "verity: this initramfs would not load the gate, and isn't made"
        exit 1
    fi
    inst_hook pre-pivot 99 "$moddir/verity-pivot.sh"
    # What is signed are the programs as they are on the host; stripped ones nobody has signed.
    # shellcheck disable=SC2034
    do_strip=no
}

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# dracut's module: puts loader, gate and pins into the initramfs. Without pins it isn't used.

check() {
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
    /usr/lib/verity/verity-initramfs "$initdir" || return 1
    inst_multiple cat mount readlink rm sync umount
    inst_hook pre-pivot 99 "$moddir/verity-pivot.sh"
}

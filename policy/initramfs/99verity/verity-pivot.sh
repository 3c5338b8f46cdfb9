#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sourced by dracut before it enters the root: loads the gate.

type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh

# dracut's shell, with systemd behind sulogin: where root has no password in the initramfs that is locked
# there (by systemd-sysusers, or as on the host) and would open to nobody. With one it is asked for.
# In a process of its own: an `exit` in dracut's functions must not end this script, behind which the
# root is entered.
verity_shell() {
    mkdir -p /etc/cmdline.d
    echo SYSTEMD_SULOGIN_FORCE=1 >/etc/cmdline.d/99-verity.conf
    (emergency_shell -n verity "verity: the root is not entered: see dmesg; \`exit\` tries again")
    rm -f /etc/cmdline.d/99-verity.conf
}

until /usr/lib/verity/verity-boot "$NEWROOT" "$(getarg init=)"; do
    verity_shell
done

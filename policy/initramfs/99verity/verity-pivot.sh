#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sourced by dracut before it enters the root: loads the gate.

type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh

until /usr/lib/verity/verity-boot "$NEWROOT" "$(getarg init=)"; do
    emergency_shell -n verity "verity: the root is not entered: see dmesg; \`exit\` tries again"
done

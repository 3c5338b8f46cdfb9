#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# PID 1 of the test VM's initramfs. By the kernel's command line:
#   verity.kind=system  mounts the root disk and hands over to its /sbin/init
#   verity.kind=bare    stays: mounts what tests need, the root disk at /sysroot, runs the agent
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t tmpfs -o mode=755,nosuid,nodev run /run

fail() {
    echo "verity-init: $*" >/dev/console
    # PID 1's end is a kernel panic, and with panic=-1 the end of the machine: nobody waits.
    exit 1
}

for module in $(cat /modules.order); do
    insmod "/modules/$module" || fail "insmod $module failed"
done

kind=none
for word in $(cat /proc/cmdline); do
    case "$word" in verity.kind=*) kind="${word#verity.kind=}" ;; esac
done

tries=0
until [ -b /dev/vda ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "no root disk /dev/vda after 5 s"
    sleep 0.05
done
mount -t ext4 -o rw /dev/vda /sysroot || fail "mounting /dev/vda failed"

case "$kind" in
system)
    for dir in dev proc sys run; do mount -o move "/$dir" "/sysroot/$dir"; done
    exec switch_root /sysroot /sbin/init
    ;;
bare) ;;
*) fail "verity.kind is '$kind', expected system or bare" ;;
esac

mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
for dir in dev proc sys run tmp; do mount -o rbind "/$dir" "/sysroot/$dir"; done
hostname verity-vm
ip link set lo up

for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ] && agent="/dev/${port##*/}"
done
[ -n "$agent" ] || fail "no port for the guest agent"
# A restart, should the agent die; busybox sh reaps the orphans that PID 1 inherits meanwhile.
while :; do
    qemu-ga -m virtio-serial -p "$agent" -t /run >/dev/ttyS0 2>&1
    sleep 0.2
done

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In a namespace of its own: the stock systemd and dynamic linker of a tree, and our reader of it.
#   reach_stock.sh TREE UNITS OUT PYTHON HELPER
# TREE is only read: UNITS is shown as its /etc/systemd/system. OUT has programs.txt, which programs
# to list the libraries of, and gets systemd.txt, ldd.txt and ours.json. systemd refuses its test
# mode to root.
set -eu
tree=$1 units=$2 out=$3 python=$4 helper=$5
mount --bind "$tree" "$tree"
mount -o remount,ro,bind "$tree"
mount -t proc proc "$tree/proc"
mount -t tmpfs tmpfs "$tree/run"
mount -t tmpfs tmpfs "$tree/tmp"
mount -t sysfs sysfs "$tree/sys"
mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
mount --bind "$units" "$tree/etc/systemd/system"
HOME=/tmp XDG_RUNTIME_DIR=/tmp chroot --userspec=1000:1000 "$tree" \
    /usr/lib/systemd/systemd --test --system --unit=all.target --no-pager \
    >"$out/systemd.txt" 2>"$out/systemd.log"
while read -r file; do
    echo "file $file"
    chroot "$tree" /lib64/ld-linux-x86-64.so.2 --list "$file" 2>/dev/null || echo none
done <"$out/programs.txt" >"$out/ldd.txt"
"$python" "$helper" "$tree" "$out" >"$out/ours.json"

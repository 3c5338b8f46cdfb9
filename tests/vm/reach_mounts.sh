#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In a namespace of its own: a tree with file systems mounted as hosts have them, and our audit.
#   reach_mounts.sh TREE PYTHON HELPER
set -eu
tree=$1 python=$2 helper=$3
mkdir -p "$tree/etc" "$tree/var" "$tree/home" "$tree/srv" "$tree/mnt"
cp -a "$tree/etc" "$tree/saved"
mount -t tmpfs state "$tree/etc" # as OSTree: one file system at /etc and /var
cp -a "$tree/saved/." "$tree/etc"
rm -r "$tree/saved"
mkdir "$tree/etc/state"
mount --bind "$tree/etc/state" "$tree/var"
mount -t tmpfs -o nosuid home "$tree/home"
mount -t tmpfs other "$tree/mnt"
for place in usr/bin etc var home mnt; do
    cp "$tree/usr/bin/a" "$tree/$place/set-id"
    chmod 4755 "$tree/$place/set-id"
done
exec "$python" "$helper" "$tree"

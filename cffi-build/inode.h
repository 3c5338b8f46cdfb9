/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_INODE_H
#define VERITY_INODE_H
/*
 * What an inode says about itself (linux/stat.h, linux/fs.h), and syncfs(2).
 *
 * Every function returns 0 or -errno, keeps no state and allocates nothing.
 */
#include <stdint.h>
#include <linux/fs.h>
#include <linux/stat.h>

/* stx_attributes and stx_attributes_mask. btrfs sets STATX_ATTR_VERITY but leaves it out of
 * the mask, so the mask says nothing about fs-verity. */
int verity_statx(int fd, uint64_t *attributes, uint64_t *mask);

/* FS_IOC_GETFLAGS, e.g. FS_VERITY_FL, FS_APPEND_FL, FS_IMMUTABLE_FL. */
int verity_getflags(int fd, uint32_t *flags);

int verity_syncfs(int fd);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fsname.h"

#include <stddef.h>
#include <stdio.h>

#ifdef __linux__
#include <sys/vfs.h>

/* statfs(2); those on which people put a store, and those that cannot keep its log. */
static const struct fsname_row {
    unsigned long magic;
    const char *name;
} fsname_rows[] = {
    {0xef53, "ext4"},       {0x58465342, "xfs"},    {0x9123683e, "btrfs"},   {0x2fc12fc1, "zfs"},
    {0xf2f52010, "f2fs"},   {0x01021994, "tmpfs"},  {0x794c7630, "overlay"}, {0x6969, "nfs"},
    {0xff534d42, "cifs"},   {0xfe534d42, "smb2"},   {0x01021997, "9p"},      {0x65735546, "fuse"},
    {0x4d44, "vfat"},       {0x2011bab0, "exfat"},  {0x5346544e, "ntfs"},    {0x00c36400, "ceph"},
    {0x0bd00bd0, "lustre"}, {0x786f4256, "vboxsf"},
};

void fsname(const char *path, char ret_name[static FSNAME_BYTES])
{
    struct statfs fs;

    snprintf(ret_name, FSNAME_BYTES, "unknown");
    if (statfs(path, &fs) < 0)
        return;
    for (size_t i = 0; i < sizeof fsname_rows / sizeof fsname_rows[0]; i++) {
        if (fsname_rows[i].magic == (unsigned long)fs.f_type) {
            snprintf(ret_name, FSNAME_BYTES, "%s", fsname_rows[i].name);
            return;
        }
    }
    snprintf(ret_name, FSNAME_BYTES, "0x%lx", (unsigned long)fs.f_type);
}
#else
#include <sys/mount.h>
#include <sys/param.h>

void fsname(const char *path, char ret_name[static FSNAME_BYTES])
{
    struct statfs fs;

    snprintf(ret_name, FSNAME_BYTES, "%s", statfs(path, &fs) < 0 ? "unknown" : fs.f_fstypename);
}
#endif

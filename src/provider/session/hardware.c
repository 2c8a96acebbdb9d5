/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is. */
#include "provider/session/hardware.h"

#include "base/cpus.h"
#include "base/sysfile.h"

enum { CPUINFO_BYTES = 16 * 1024, MEMINFO_BYTES = 8 * 1024, NAME_BYTES = 256 };

#define KIB_PER_GIB (1024.0 * 1024.0)

static struct str hardware_keep(struct arena *region, struct str s)
{
    return arena_dup(region, s.n && str_is_utf8(s) ? s : STR("Unknown"));
}

/* DMI on a PC, the device tree on most ARM boards (its text ends with a NUL). */
static struct str hardware_machine_model(const char *root, struct arena *region)
{
    static const char *const places[] = {"/sys/class/dmi/id/product_name",
                                         "/proc/device-tree/model"};
    char bytes[NAME_BYTES];

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct str name = sysfile_read(root, places[i], bytes, sizeof bytes);

        if (name.n)
            return hardware_keep(region, name);
    }
    return hardware_keep(region, (struct str){0});
}

static struct str hardware_chip_name(const char *root, struct arena *region)
{
    char bytes[CPUINFO_BYTES];
    struct str text = sysfile_read(root, "/proc/cpuinfo", bytes, sizeof bytes);

    return hardware_keep(region, sysfile_field(text, "model name"));
}

int hardware_read(const char *root, double reserve_gb, struct arena *region,
                  struct msg_hardware *ret_hardware)
{
    char bytes[MEMINFO_BYTES];
    struct str mem = sysfile_read(root, "/proc/meminfo", bytes, sizeof bytes);
    int64_t total_kib = sysfile_leading_i64(sysfile_field(mem, "MemTotal"));
    double total_gib = total_kib > 0 ? (double)total_kib / KIB_PER_GIB : 0;
    struct msg_hardware hw = {
        .machine_model = hardware_machine_model(root, region),
        .chip_name = hardware_chip_name(root, region),
        .chip_family = STR("Unknown"),
        .chip_tier = STR("Unknown"),
        .memory_gb = (int64_t)(total_gib + 0.5),
        .memory_available_gb = total_gib > reserve_gb ? total_gib - reserve_gb : 0,
        .cpu_cores = {.total = cpus_online(root)},
    };

    if (!hw.machine_model.p || !hw.chip_name.p)
        return ERR_NOMEM;
    *ret_hardware = hw;
    return 0;
}

struct str hardware_os_version(const char *root, struct arena *region)
{
    char bytes[NAME_BYTES];
    struct str release = sysfile_read(root, "/proc/sys/kernel/osrelease", bytes, sizeof bytes);

    return arena_printf(region, "Linux %.*s", STR_ARG(release));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How the machine is doing right now. */
#include "provider/session/metrics.h"

#include <stdio.h>

#include "base/cpus.h"
#include "base/sysfile.h"

enum { MEMINFO_BYTES = 8 * 1024, PATH_BYTES = 96, MAX_ZONES = 64, MAX_TRIPS = 16 };

enum thermal { THERMAL_NOMINAL, THERMAL_FAIR, THERMAL_SERIOUS, THERMAL_CRITICAL };

static const char *const thermal_names[] = {[THERMAL_NOMINAL] = "nominal",
                                            [THERMAL_FAIR] = "fair",
                                            [THERMAL_SERIOUS] = "serious",
                                            [THERMAL_CRITICAL] = "critical"};

static const struct {
    const char *trip_type; /* as the kernel names it */
    enum thermal state;
} trip_states[] = {
    {"passive", THERMAL_FAIR}, {"hot", THERMAL_SERIOUS}, {"critical", THERMAL_CRITICAL}};

static double metrics_clamp01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static int64_t metrics_meminfo_kib(const char *root, const char *field)
{
    char bytes[MEMINFO_BYTES];
    struct str text = sysfile_read(root, "/proc/meminfo", bytes, sizeof bytes);

    return sysfile_leading_i64(sysfile_field(text, field));
}

static double metrics_memory_pressure(const char *root)
{
    int64_t total = metrics_meminfo_kib(root, "MemTotal");
    int64_t available = metrics_meminfo_kib(root, "MemAvailable");

    if (total <= 0 || available < 0)
        return 0;
    return metrics_clamp01(1.0 - (double)available / (double)total);
}

/* /proc/loadavg: "0.42 0.30 0.25 1/123 4567". The kernel always writes two decimals. */
static double metrics_load_1min(const char *root)
{
    char bytes[128];
    struct str text = sysfile_read(root, "/proc/loadavg", bytes, sizeof bytes);
    int64_t whole = sysfile_leading_i64(text);
    const char *dot = text.n ? memchr(text.p, '.', text.n) : NULL;
    size_t skip;
    int64_t hundredths;

    if (whole < 0 || !dot)
        return 0;
    skip = (size_t)(dot - text.p) + 1;
    hundredths = sysfile_leading_i64((struct str){text.p + skip, text.n - skip});
    return (double)whole + (hundredths > 0 ? (double)hundredths / 100.0 : 0);
}

/* Of the whole machine, as the load is; one where that is not known. */
static double metrics_processors(const char *root)
{
    int64_t n = cpus_online(root);

    return n > 0 ? (double)n : 1;
}

static enum thermal metrics_trip_state(const char *root, int zone, int trip, int64_t temp)
{
    char path[PATH_BYTES], bytes[64];
    int64_t limit;
    struct str type;

    (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/trip_point_%d_temp", zone,
                   trip);
    if (sysfile_read_i64(root, path, &limit) < 0 || limit <= 0 || temp < limit)
        return THERMAL_NOMINAL;
    (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/trip_point_%d_type", zone,
                   trip);
    type = sysfile_read(root, path, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof trip_states / sizeof trip_states[0]; i++) {
        if (str_is(type, trip_states[i].trip_type))
            return trip_states[i].state;
    }
    return THERMAL_NOMINAL;
}

static enum thermal metrics_worst_thermal(const char *root)
{
    enum thermal worst = THERMAL_NOMINAL;

    for (int zone = 0; zone < MAX_ZONES; zone++) {
        char path[PATH_BYTES];
        int64_t temp;

        (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
        if (sysfile_read_i64(root, path, &temp) < 0)
            break;
        for (int trip = 0; trip < MAX_TRIPS; trip++) {
            enum thermal state = metrics_trip_state(root, zone, trip, temp);

            worst = state > worst ? state : worst;
        }
    }
    return worst;
}

struct msg_system_metrics metrics_read(const char *root)
{
    return (struct msg_system_metrics){
        .memory_pressure = metrics_memory_pressure(root),
        .cpu_usage = metrics_clamp01(metrics_load_1min(root) / metrics_processors(root)),
        .thermal_state = str_from(thermal_names[metrics_worst_thermal(root)]),
    };
}

double metrics_total_memory_gb(const char *root)
{
    int64_t kib = metrics_meminfo_kib(root, "MemTotal");

    return kib > 0 ? (double)kib / (1024.0 * 1024.0) : 0;
}

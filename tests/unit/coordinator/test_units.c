/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd units: they fit the programs that they start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/settings.h"

#define PACKAGING TEST_SOURCE_DIR "/packaging/systemd/"

enum { UNIT_BYTES = 1 << 16 };

static const char *const units[] = {"darkbloom-coordinator.service", "darkbloom.service"};

/* The file, with a newline in front. */
static const char *unit_text(const char *name)
{
    static char text[UNIT_BYTES];
    char path[512];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, PACKAGING "%s", name);
    f = fopen(path, "re");
    if (!f)
        fail_msg("there is no %s", path);
    text[0] = '\n';
    n = fread(text + 1, 1, sizeof text - 2, f);
    text[n + 1] = 0;
    fclose(f);
    return text;
}

static bool has_line(const char *text, const char *line)
{
    char whole[200];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    return strstr(text, whole) != NULL;
}

static void each_unit_takes_rights_away(void **state)
{
    static const char *const lines[] = {"NoNewPrivileges=yes",
                                        "CapabilityBoundingSet=",
                                        "ProtectSystem=strict",
                                        "ProtectHome=yes",
                                        "PrivateTmp=yes",
                                        "RestrictNamespaces=yes",
                                        "RestrictSUIDSGID=yes",
                                        "ProtectKernelTunables=yes",
                                        "ProtectControlGroups=yes",
                                        "LockPersonality=yes",
                                        "SystemCallArchitectures=native",
                                        "SystemCallFilter=@system-service",
                                        "LimitCORE=0",
                                        "UMask=0077",
                                        "User=darkbloom",
                                        "StateDirectoryMode=0700",
                                        "Type=notify"};

    (void)state;
    for (size_t u = 0; u < 2; u++) {
        const char *text = unit_text(units[u]);

        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
            if (!has_line(text, lines[i]))
                fail_msg("%s has no line %s", units[u], lines[i]);
        }
    }
}

/* "TimeoutStopSec=11min" in seconds. */
static long stop_timeout_s(const char *text)
{
    const char *at = strstr(text, "\nTimeoutStopSec=");
    char *unit;
    long n;

    assert_non_null(at);
    n = strtol(at + strlen("\nTimeoutStopSec="), &unit, 10);
    return strncmp(unit, "min", 3) == 0 ? n * 60 : n;
}

/* Else systemd kills in the middle of what the drain is for, and of settling it. */
static void the_manager_waits_longer_than_a_drain_takes(void **state)
{
    const struct cfg_key *k = settings_table.keys;

    (void)state;
    while (k->key && strcmp(k->key, "server.drain_timeout_ms") != 0)
        k++;
    assert_non_null(k->key);
    assert_true(stop_timeout_s(unit_text(units[0])) >= strtol(k->deflt, NULL, 10) / 1000 + 30);
    assert_true(stop_timeout_s(unit_text(units[1])) >= 600 + 30); /* drain_timeout_secs */
}

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void the_example_settings_are_good(void **state)
{
    char *argv[] = {NULL};
    const struct cfg_source src = {&settings_table, 1, argv, no_env};
    struct settings s;
    struct arena region;
    struct err e = {0};

    (void)state;
    arena_init(&region, 8 << 20);
    if (cfg_load_file(&src, PACKAGING "coordinator.toml", &region, &s, &e) < 0 ||
        settings_check(&s, &e) < 0)
        fail_msg("%s", e.text);
    assert_true(str_is(s.metrics_listen, "127.0.0.1:9464"));
    assert_non_null(strstr(unit_text(units[0]), " --config /etc/darkbloom/coordinator.toml\n"));
    arena_free(&region);
}

/* systemd's own reading of them, with a program that is there in place of ours. */
static void systemd_accepts_them_where_it_is_installed(void **state)
{
    char dir[] = "/tmp/darkbloom-units-XXXXXX";
    char command[1024];

    (void)state;
    if (system("command -v systemd-analyze >/dev/null") != 0)
        skip();
    assert_non_null(mkdtemp(dir));
    for (size_t u = 0; u < 2; u++) {
        snprintf(command, sizeof command,
                 "sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' " PACKAGING "%s >%s/%s && "
                 "systemd-analyze verify --man=no %s/%s 2>%s/said && ! test -s %s/said",
                 units[u], dir, units[u], dir, units[u], dir, dir);
        if (system(command) != 0) {
            snprintf(command, sizeof command, "cat %s/said", dir);
            (void)!system(command);
            fail_msg("systemd-analyze verify refuses %s", units[u]);
        }
    }
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_unit_takes_rights_away),
        cmocka_unit_test(the_manager_waits_longer_than_a_drain_takes),
        cmocka_unit_test(the_example_settings_are_good),
        cmocka_unit_test(systemd_accepts_them_where_it_is_installed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

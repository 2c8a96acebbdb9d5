/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts under the link: the coordinator's URL, back-off, and reading a machine from files
 * that a test wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider/session/backoff.h"
#include "provider/session/hardware.h"
#include "provider/session/metrics.h"
#include "provider/session/url.h"
#include "unit/provider/fake_root.h"

static void urls_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *host, *path;
        uint16_t port;
        bool tls;
    } cases[] = {
        {"ws://localhost:8080/ws/provider", "localhost", "/ws/provider", 8080, false},
        {"ws://coordinator.example", "coordinator.example", "/ws/provider", 80, false},
        {"ws://10.0.0.1:81", "10.0.0.1", "/ws/provider", 81, false},
        {"ws://[::1]:8080/p?q=1", "::1", "/p?q=1", 8080, false},
        {"wss://coordinator.example", "coordinator.example", "/ws/provider", 443, true},
        {"wss://[::1]:8443/p", "::1", "/p", 8443, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct coordinator_url url;

        assert_int_equal(coordinator_url_parse(str_from(cases[i].text), &url, NULL), 0);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.path, cases[i].path);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.tls, cases[i].tls);
    }
}

static void bad_urls_are_refused_with_the_way_out(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"https://coordinator.example", "or wss:// for TLS"},
        {"wss://", "ws://HOST:PORT"},
        {"coordinator.example", "ws://HOST:PORT"},
        {"", "ws://HOST:PORT"},
        {"ws://", "ws://HOST:PORT"},
        {"ws://host:0/", "1 to 65535"},
        {"ws://host:65536/", "1 to 65535"},
        {"ws://host:x/", "1 to 65535"},
        {"ws://host/a b", "without spaces"},
        {"ws://host/a\r\nX: y", "without spaces"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct coordinator_url url;
        struct err err = {0};

        assert_int_equal(coordinator_url_parse(str_from(cases[i].text), &url, &err), ERR_CONFIG);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void fill_byte(void *ud, void *ret_bytes, size_t n)
{
    memset(ret_bytes, *(const uint8_t *)ud, n);
}

static void waits_double_up_to_the_cap_and_are_jittered(void **state)
{
    struct rand_src rand = rand_system();

    (void)state;
    for (int run = 0; run < 50; run++) {
        struct backoff b = {0};
        int64_t ceiling_ms = BACKOFF_FIRST_MS;

        for (int i = 0; i < 10; i++) {
            int64_t wait_ms = backoff_next_ms(&b, &rand);

            assert_true(wait_ms >= BACKOFF_FLOOR_MS && wait_ms <= ceiling_ms);
            ceiling_ms = ceiling_ms * 2 > BACKOFF_CAP_MS ? BACKOFF_CAP_MS : ceiling_ms * 2;
        }
    }
}

static void a_wait_is_never_shorter_than_the_floor(void **state)
{
    uint8_t zero = 0;
    struct rand_src rand = {fill_byte, &zero};
    struct backoff b = {0};

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(backoff_next_ms(&b, &rand) >= BACKOFF_FLOOR_MS);
}

static void only_a_session_that_registered_and_lived_resets(void **state)
{
    struct rand_src rand = rand_system();
    struct backoff b = {0};

    (void)state;
    (void)backoff_next_ms(&b, &rand);
    (void)backoff_next_ms(&b, &rand);
    backoff_session_ended(&b, -1);
    assert_int_equal(b.ceiling_ms, 4000);
    backoff_session_ended(&b, BACKOFF_GOOD_SESSION_MS - 1);
    assert_int_equal(b.ceiling_ms, 4000);
    backoff_session_ended(&b, BACKOFF_GOOD_SESSION_MS);
    assert_int_equal(b.ceiling_ms, 0);
}

/* --- a machine made of files --- */

static void hardware_is_read_from_the_kernel(void **state)
{
    const struct fake_root *r = *state;
    struct arena region;
    struct msg_hardware hw;

    fake_root_put(r, "/sys/class/dmi/id/product_name", "ThinkStation P3\n");
    fake_root_put(r, "/proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 9654\n");
    fake_root_put(r, "/proc/meminfo", "MemTotal:       32800000 kB\nMemAvailable:   16400000 kB\n");
    fake_root_put(r, "/sys/devices/system/cpu/online", "0-3,6\n");
    fake_root_put(r, "/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    arena_init(&region, 1 << 16);
    assert_int_equal(hardware_read(r->dir, 4, &region, &hw), 0);
    assert_true(str_is(hw.machine_model, "ThinkStation P3"));
    assert_true(str_is(hw.chip_name, "AMD EPYC 9654"));
    assert_true(str_is(hw.chip_family, "Unknown"));
    assert_int_equal(hw.memory_gb, 31);
    assert_true(hw.memory_available_gb > 27.2 && hw.memory_available_gb < 27.3);
    assert_int_equal(hw.cpu_cores.total, 5);
    assert_true(hw.memory_bandwidth_gbs == 0);
    assert_true(str_is(hardware_os_version(r->dir, &region), "Linux 6.1.0-18-amd64"));
    arena_free(&region);
}

static void an_unreadable_machine_is_unknown_not_guessed(void **state)
{
    const struct fake_root *r = *state;
    struct arena region;
    struct msg_hardware hw;
    struct msg_system_metrics m;

    arena_init(&region, 1 << 16);
    assert_int_equal(hardware_read(r->dir, 4, &region, &hw), 0);
    assert_true(str_is(hw.machine_model, "Unknown"));
    assert_true(str_is(hw.chip_name, "Unknown"));
    assert_int_equal(hw.memory_gb, 0);
    assert_true(hw.memory_available_gb == 0);
    m = metrics_read(r->dir);
    assert_true(m.memory_pressure == 0 && m.cpu_usage == 0);
    assert_true(str_is(m.thermal_state, "nominal"));
    arena_free(&region);
}

static void metrics_are_shares_of_the_machine(void **state)
{
    const struct fake_root *r = *state;
    struct msg_system_metrics m;

    fake_root_put(r, "/proc/meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n");
    fake_root_put(r, "/proc/loadavg", "1.50 0.30 0.25 1/123 4567\n");
    fake_root_put(r, "/sys/devices/system/cpu/online", "0-3\n");
    m = metrics_read(r->dir);
    assert_true(m.memory_pressure > 0.749 && m.memory_pressure < 0.751);
    assert_true(m.cpu_usage > 0.374 && m.cpu_usage < 0.376);
    fake_root_put(r, "/proc/loadavg", "97.00 0.30 0.25 1/123 4567\n");
    assert_true(metrics_read(r->dir).cpu_usage == 1);
}

static void the_thermal_state_is_the_worst_zones(void **state)
{
    static const struct {
        const char *temp, *state;
    } cases[] = {{"40000\n", "nominal"},
                 {"85000\n", "fair"},
                 {"95000\n", "serious"},
                 {"105000\n", "critical"}};
    const struct fake_root *r = *state;

    fake_root_put(r, "/sys/class/thermal/thermal_zone0/temp", "30000\n");
    fake_root_put(r, "/sys/class/thermal/thermal_zone1/trip_point_0_type", "passive\n");
    fake_root_put(r, "/sys/class/thermal/thermal_zone1/trip_point_0_temp", "80000\n");
    fake_root_put(r, "/sys/class/thermal/thermal_zone1/trip_point_1_type", "hot\n");
    fake_root_put(r, "/sys/class/thermal/thermal_zone1/trip_point_1_temp", "90000\n");
    fake_root_put(r, "/sys/class/thermal/thermal_zone1/trip_point_2_type", "critical\n");
    fake_root_put(r, "/sys/class/thermal/thermal_zone1/trip_point_2_temp", "100000\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_root_put(r, "/sys/class/thermal/thermal_zone1/temp", cases[i].temp);
        assert_true(str_is(metrics_read(r->dir).thermal_state, cases[i].state));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(bad_urls_are_refused_with_the_way_out),
        cmocka_unit_test(waits_double_up_to_the_cap_and_are_jittered),
        cmocka_unit_test(a_wait_is_never_shorter_than_the_floor),
        cmocka_unit_test(only_a_session_that_registered_and_lived_resets),
        FAKE_ROOT_TEST(hardware_is_read_from_the_kernel),
        FAKE_ROOT_TEST(an_unreadable_machine_is_unknown_not_guessed),
        FAKE_ROOT_TEST(metrics_are_shares_of_the_machine),
        FAKE_ROOT_TEST(the_thermal_state_is_the_worst_zones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

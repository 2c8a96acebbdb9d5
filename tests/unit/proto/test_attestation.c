/* SPDX-License-Identifier: Apache-2.0 */
/* The attested object to the byte: what is signed is what stands there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/attestation.h"

enum { OUT_BYTES = 4096, SCRATCH_BYTES = 1 << 20 };

static const struct {
    struct attestation a;
    const char *bytes;
} cases[] = {
    {{.timestamp = STR("t"), .publicKey = STR("P")},
     "{\"authenticatedRootEnabled\":false,\"chipName\":\"\",\"encryptionPublicKey\":\"\","
     "\"hardwareModel\":\"\",\"hypervisorActive\":false,\"osVersion\":\"\",\"publicKey\":\"P\","
     "\"rdmaDisabled\":false,\"secureBootEnabled\":false,\"secureEnclaveAvailable\":false,"
     "\"sipEnabled\":false,\"timestamp\":\"t\"}"},
    {{true, true, true, true, true, true, STR("b"), STR("c/\"\xC3\xA9<"), STR("k"), STR("h"),
      STR("o"), STR("P"), STR("n"), STR("v"), STR("t")},
     "{\"authenticatedRootEnabled\":true,\"binaryHash\":\"b\",\"chipName\":\"c/\\\"\xC3\xA9<\","
     "\"encryptionPublicKey\":\"k\",\"hardwareModel\":\"h\",\"hypervisorActive\":true,"
     "\"osVersion\":\"o\",\"publicKey\":\"P\",\"rdmaDisabled\":true,\"secureBootEnabled\":true,"
     "\"secureEnclaveAvailable\":true,\"serialNumber\":\"n\",\"sipEnabled\":true,"
     "\"systemVolumeHash\":\"v\",\"timestamp\":\"t\"}"},
};

static void an_attestation_is_written_to_the_byte_and_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct proto_scratch scratch;
        struct attestation read;
        struct buf out, again;

        buf_init(&out, OUT_BYTES);
        buf_init(&again, OUT_BYTES);
        assert_int_equal(proto_scratch_init(&scratch, SCRATCH_BYTES), 0);
        assert_int_equal(shape_encode(&attestation_shape, &cases[i].a, &out), 0);
        if (!str_is(buf_view(&out), cases[i].bytes))
            fail_msg("%.*s", STR_ARG(buf_view(&out)));
        assert_int_equal(shape_decode(&scratch, &attestation_shape, buf_view(&out), &read, NULL),
                         0);
        assert_int_equal(shape_encode(&attestation_shape, &read, &again), 0);
        assert_true(str_eq(buf_view(&again), buf_view(&out)));
        proto_scratch_free(&scratch);
        buf_free(&out);
        buf_free(&again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attestation_is_written_to_the_byte_and_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

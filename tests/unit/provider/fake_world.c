/* SPDX-License-Identifier: Apache-2.0 */
/* A whole provider in virtual time. */
#include "fake_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/b64.h"

static void fill(void *ud, void *ret_bytes, size_t n)
{
    const struct fake_world *w = ud;

    memset(ret_bytes, w->rand_byte, n);
}

static void make_machine(struct fake_world *w)
{
    w->machine = (struct machine){
        .root = "/nonexistent",
        .hardware = {.machine_model = STR("Testbox"),
                     .chip_name = STR("Test CPU"),
                     .chip_family = STR("Unknown"),
                     .chip_tier = STR("Unknown"),
                     .memory_gb = 16,
                     .memory_available_gb = 12,
                     .cpu_cores = {.total = 2}},
        .os_version = STR("Linux 6.1"),
        .binary_hash = STR(FAKE_BINARY_HASH),
        .backend = STR("inprocess-llama"),
        .version = STR("0.1.0"),
        .public_key = str_from(box_pair_public_b64(w->pair)),
        .model = {.id = STR(FAKE_MODEL),
                  .size_bytes = 1000,
                  .model_type = STR("chat"),
                  .quantization = STR("Q4_1"),
                  .weight_hash = STR(FAKE_WEIGHT_HASH),
                  .context_length = 2048,
                  .numerics = STR("invariant"),
                  .template_overhead_tokens = 32},
        .max_running = 8,
        .engine_in_process = true,
    };
}

static void open_signer(struct fake_world *w)
{
    struct signer_post post;
    struct err err = {0};
    char path[128];

    (void)snprintf(w->dir, sizeof w->dir, "/tmp/darkbloom-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(path, sizeof path, "%s/identity.pem", w->dir);
    assert_int_equal(post_new(w->loop, &w->post), 0);
    post = post_for_signer(w->post);
    if (signer_soft_open(path, &post, &w->signer, &err) < 0)
        fail_msg("%s", err.text);
}

struct fake_world *fake_world_new(enum fake_manner manner)
{
    struct fake_world *w = calloc(1, sizeof *w);
    struct provider_config config;

    assert_non_null(w);
    w->rand_byte = 0x40;
    assert_int_equal(loop_fake_new(FAKE_WALL_US, &w->loop), 0);
    fake_coordinator_start(&w->coordinator, w->loop);
    w->coordinator.manner = manner;
    assert_int_equal(box_pair_new(&w->pair), 0);
    make_machine(w);
    open_signer(w);
    w->log = (struct log){
        .fd = memfd_create("log", MFD_CLOEXEC), .level = LOG_DEBUG, .clock = loop_clock(w->loop)};
    config = (struct provider_config){
        .loop = w->loop,
        .rand = {fill, w},
        .log = &w->log,
        .signer = w->signer,
        .machine = &w->machine,
        .pair = w->pair,
        .engine = fake_engine_port(&w->engine),
        .url = {.host = "127.0.0.1", .port = w->coordinator.port, .path = "/ws/provider"},
        .heartbeat_interval_ms = 5000,
        .drain_timeout_ms = FAKE_DRAIN_MS,
        .max_jobs = FAKE_MAX_JOBS};
    assert_int_equal(provider_new(&config, &w->provider), 0);
    provider_start(w->provider);
    return w;
}

int fake_world_up(void **state)
{
    struct fake_world *w = fake_world_new(FAKE_POLITE);

    loop_fake_settle(w->loop);
    assert_true(provider_is_up(w->provider));
    *state = w;
    return 0;
}

int fake_world_down(void **state)
{
    struct fake_world *w = *state;
    char path[128];

    signer_close(w->signer);
    provider_free(w->provider);
    post_free(w->post);
    fake_coordinator_stop(&w->coordinator);
    box_pair_free(w->pair);
    loop_free(w->loop);
    close(w->log.fd);
    (void)snprintf(path, sizeof path, "%s/identity.pem", w->dir);
    (void)unlink(path);
    (void)rmdir(w->dir);
    free(w);
    return 0;
}

void fake_world_run(struct fake_world *w)
{
    provider_on_engine(w->provider);
    loop_fake_settle(w->loop);
}

void fake_world_advance_ms(struct fake_world *w, int64_t ms)
{
    loop_fake_advance(w->loop, ms * 1000);
}

char *fake_world_log(const struct fake_world *w)
{
    off_t n = lseek(w->log.fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)n + 1);
    assert_non_null(text);
    assert_int_equal(pread(w->log.fd, text, (size_t)n, 0), n);
    return text;
}

static void on_stopped(void *ud)
{
    struct fake_world *w = ud;

    w->stopped = true;
}

void fake_world_stop(struct fake_world *w)
{
    provider_stop(w->provider, on_stopped, w);
}

static EVP_PKEY *key_of(struct str public_b64)
{
    uint8_t point[66] = {4}; /* uncompressed */
    char group[] = "prime256v1";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 65),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    size_t n;

    assert_int_equal(b64_decode(public_b64, point + 1, sizeof point - 1, &n), 0);
    assert_int_equal(n, 64);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

bool fake_verify(struct str public_b64, struct str message, struct str signature_b64)
{
    uint8_t der[128];
    size_t n = 0;
    EVP_MD_CTX *md;
    EVP_PKEY *key;
    bool ok;

    if (b64_decode(signature_b64, der, sizeof der, &n) < 0)
        return false;
    key = key_of(public_b64);
    md = EVP_MD_CTX_new();
    ok = EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestVerify(md, der, n, (const uint8_t *)message.p, message.n) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    return ok;
}

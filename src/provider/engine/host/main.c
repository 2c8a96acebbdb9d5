/* SPDX-License-Identifier: Apache-2.0 */
/* `darkbloom-engine`: loads the one model and computes, in a process that can do nothing else. It
 * is started by `darkbloom serve`, which is at the other end of descriptor 3. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "provider/engine/engine.h"
#include "provider/engine/host/cage.h"
#include "provider/engine/host/host.h"
#include "provider/engine/host/last_words.h"

enum {
    WIRE_FD = 3,
    OPEN_WAIT_MS = 30000,
    STATUS_USAGE = 2,
    STATUS_PASSES_FAIL = 3,
    STATUS_BROKEN_WIRE = 4
};

static bool main_has_a_wire(void)
{
    int type = 0;
    socklen_t n = sizeof type;

    return getsockopt(WIRE_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

static void main_say_last_words(void *ud, const char *text)
{
    host_last_words(ud, str_from(text));
}

/* The library's complaints help while it loads. Later they could hold words of a prompt. */
static void main_silence(void)
{
#ifndef DARKBLOOM_SANITIZED
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (null >= 0)
        (void)dup2(null, STDERR_FILENO);
    if (null >= 0)
        close(null);
#endif
}

static int main_say_ready(struct host *h, const struct engine *e, int32_t landlock_abi)
{
    const struct model_limits limits = engine_limits(e);
    const struct gguf_info info = engine_info(e);
    const struct cage_facts facts = cage_measure();
    const struct wire_msg m = {.type = WIRE_READY,
                               .ready = {.version = str_from(DARKBLOOM_VERSION),
                                         .context_tokens = limits.context_tokens,
                                         .max_seqs = limits.max_seqs,
                                         .invariant = engine_invariant(e),
                                         .template_overhead = engine_template_overhead(e),
                                         .size_bytes = (int64_t)info.size_bytes,
                                         .quantization = str_from(info.quantization),
                                         .weight_hash = str_from(info.weight_hash),
                                         .no_new_files = facts.no_new_files,
                                         .no_network = facts.no_network,
                                         .filtered = facts.filtered,
                                         .not_dumpable = facts.not_dumpable,
                                         .landlock_abi = landlock_abi}};

    return host_say(h, &m);
}

static int main_load(struct host *h, const struct wire_open *open, struct engine **ret_engine,
                     int32_t *ret_landlock_abi, struct err *ret_err)
{
    char path[WIRE_PATH_MAX_BYTES + 1];
    struct engine_config config = {.model = {.path = path,
                                             .slots = open->slots,
                                             .context_tokens = open->context_tokens,
                                             .threads = open->threads,
                                             .invariant = open->invariant},
                                   .max_waiting = (size_t)open->max_waiting,
                                   .seed = open->seed,
                                   .wake = host_wake,
                                   .wake_ud = h};
    int64_t growth_bytes = open->memory_growth_bytes;
    int rc;

    if (!str_is(open->version, DARKBLOOM_VERSION))
        return err_set(
            ret_err, ERR_CONFIG,
            "darkbloom is of version %.*s and the darkbloom-engine beside it of " DARKBLOOM_VERSION
            "; install both of one version",
            STR_ARG(str_cut(open->version, 32)));
    (void)snprintf(path, sizeof path, "%.*s", STR_ARG(open->model_path));
    rc = cage_close_for_loading(path, DARKBLOOM_LLAMA_LIB_DIR, ret_landlock_abi, ret_err);
    if (rc == 0)
        rc = engine_open(&config, ret_engine, ret_err);
    if (rc < 0)
        return rc;
    main_silence();
    return cage_close_for_serving(growth_bytes, ret_err);
}

static int main_refuse(struct host *h, int code, const struct err *err)
{
    const struct wire_msg m = {
        .type = WIRE_REFUSED,
        .refused = {.code = code, .text = str_from(err->text[0] ? err->text : err_str(code))}};

    return host_say(h, &m) < 0 ? STATUS_BROKEN_WIRE : EXIT_SUCCESS;
}

static int main_serve(struct host *h, struct engine *e)
{
    const struct engine_port port = engine_port(e);
    int rc = host_serve(h, &port);

    if (rc == ERR_MODEL)
        main_say_last_words(h, "its forward passes failed one after another");
    return rc == 0 ? EXIT_SUCCESS : rc == ERR_MODEL ? STATUS_PASSES_FAIL : STATUS_BROKEN_WIRE;
}

static int main_run(struct host *h)
{
    struct engine *engine = NULL;
    struct wire_msg m;
    struct err err = {0};
    int32_t landlock_abi = 0;
    int rc = cage_bind_to_parent(&err);

    if (rc == 0 && (host_hear(h, OPEN_WAIT_MS, &m) != 1 || m.type != WIRE_OPEN))
        return STATUS_BROKEN_WIRE;
    if (rc == 0)
        rc = main_load(h, &m.open, &engine, &landlock_abi, &err);
    if (rc < 0)
        return main_refuse(h, rc, &err);
    return main_say_ready(h, engine, landlock_abi) < 0 ? STATUS_BROKEN_WIRE : main_serve(h, engine);
}

/* The process ends without taking anything apart: a pass that runs need not be waited for. */
int main(int argc, char **argv)
{
    static struct host host;

    (void)argv;
    if (argc != 1 || !main_has_a_wire()) {
        (void)fputs("darkbloom-engine is started by `darkbloom serve`, never by hand\n", stderr);
        return STATUS_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    host_init(&host, WIRE_FD);
    last_words_install(main_say_last_words, &host);
    _exit(main_run(&host));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* `darkbloom benchmark`: what the owner's machine does with the owner's model. */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "proto/shape.h"
#include "provider/measure/suite.h"

enum { REGION_MAX_BYTES = 1 << 20, NEW_TOKENS = 256, ROWS = 16, ARGS_MAX = 64 };

struct cmd_benchmark {
    struct provider_settings settings;
    struct arena region;
    bool json;
    struct suite_figures figures;
};

/* Figures of another build than what is served are of no use. */
static const char *cmd_benchmark_build(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return "sanitizers";
#elif defined(NDEBUG) && defined(__OPTIMIZE__)
    return "release";
#else
    return "debug";
#endif
}

/* --- output --- */

static void cmd_benchmark_print_first(const struct suite_figures *f)
{
    printf("| first token, model loaded (median of %d) | %.1f ms |\n", SUITE_WARM,
           f->warm_first_s * 1e3);
    for (int i = 0; i < SUITE_COLD; i++)
        printf("| loading, round %d; and its first token | %.0f ms; %.0f ms |\n", i + 1,
               f->load_s[i] * 1e3, f->load_first_s[i] * 1e3);
    printf("| a request of 4 KiB sealed; opened; with its first token | %.3f ms; %.3f ms; %.1f ms "
           "|\n",
           f->seal_us / 1e3, f->open_us / 1e3, f->sealed_first_s * 1e3);
}

static void cmd_benchmark_print(const struct cmd_benchmark *b)
{
    const struct suite_figures *f = &b->figures;

    printf("# darkbloom benchmark %s\n\nbuild %s, model %.*s (%s), %d slots of %d tokens, numerics "
           "%s\n",
           DARKBLOOM_VERSION, cmd_benchmark_build(),
           STR_ARG(provider_settings_model_id(&b->settings)), f->facts.quantization,
           f->facts.max_seqs, f->facts.context_tokens, f->facts.invariant ? "invariant" : "fast");
    printf("\n| what | |\n|---|---|\n");
    cmd_benchmark_print_first(f);
    for (int i = 0; i < f->n_prefill; i++)
        printf("| prompt of %lld tokens: first token; rate | %.2f s; %.0f tokens/s |\n",
               (long long)f->prefill[i].prompt_tokens, f->prefill[i].first_s, f->prefill[i].rate);
    if (f->beside_tokens)
        printf("| a prompt of %lld tokens beside an answer: its worst gap; the first token | %.3f "
               "s; %.2f s |\n",
               (long long)f->beside_tokens, f->beside_gap_s, f->beside_first_s);
    printf("\n| rows | tokens/s, steady | prompts included | first token, least to most |\n"
           "|---|---|---|---|\n");
    for (int i = 0; i < f->n_decode; i++)
        printf("| %d | %.1f | %.1f | %.0f to %.0f ms |\n", f->decode[i].rows, f->decode[i].steady,
               f->decode[i].whole, f->decode[i].first_least_s * 1e3,
               f->decode[i].first_most_s * 1e3);
    printf("\nAnswers of up to %lld tokens; the shortest had %lld.\n", (long long)f->new_tokens,
           (long long)f->shortest_tokens);
}

static void cmd_benchmark_print_json_rates(const struct suite_figures *f)
{
    printf(",\"prefill\":[");
    for (int i = 0; i < f->n_prefill; i++)
        printf("%s{\"prompt_tokens\":%lld,\"first_s\":%.6f,\"tokens_per_s\":%.3f}", i ? "," : "",
               (long long)f->prefill[i].prompt_tokens, f->prefill[i].first_s, f->prefill[i].rate);
    printf("],\"decode\":[");
    for (int i = 0; i < f->n_decode; i++)
        printf("%s{\"rows\":%d,\"steady_tokens_per_s\":%.3f,\"whole_tokens_per_s\":%.3f,\"first_"
               "least_s\":%.6f,\"first_most_s\":%.6f}",
               i ? "," : "", f->decode[i].rows, f->decode[i].steady, f->decode[i].whole,
               f->decode[i].first_least_s, f->decode[i].first_most_s);
    printf("]");
}

static void cmd_benchmark_print_json(const struct cmd_benchmark *b)
{
    const struct suite_figures *f = &b->figures;
    struct buf id;

    buf_init(&id, 1 << 16);
    if (json_append_str(&id, provider_settings_model_id(&b->settings)) < 0)
        buf_clear(&id);
    printf(
        "{\"version\":\"%s\",\"build\":\"%s\",\"model\":%.*s,\"quantization\":\"%s\",\"slots\":%d,"
        "\"context_tokens\":%d,\"numerics\":\"%s\"",
        DARKBLOOM_VERSION, cmd_benchmark_build(), id.len ? (int)id.len : 4,
        id.len ? buf_view(&id).p : "null", f->facts.quantization, f->facts.max_seqs,
        f->facts.context_tokens, f->facts.invariant ? "invariant" : "fast");
    printf(",\"warm_first_s\":%.6f,\"cold\":[", f->warm_first_s);
    for (int i = 0; i < SUITE_COLD; i++)
        printf("%s{\"load_s\":%.6f,\"load_first_s\":%.6f}", i ? "," : "", f->load_s[i],
               f->load_first_s[i]);
    printf("],\"sealed\":{\"seal_us\":%.3f,\"open_us\":%.3f,\"first_s\":%.6f}", f->seal_us,
           f->open_us, f->sealed_first_s);
    cmd_benchmark_print_json_rates(f);
    printf(",\"beside\":{\"prompt_tokens\":%lld,\"worst_gap_s\":%.6f,\"first_s\":%.6f},\"shortest_"
           "answer_tokens\":%lld,\"answer_tokens\":%lld}\n",
           (long long)f->beside_tokens, f->beside_gap_s, f->beside_first_s,
           (long long)f->shortest_tokens, (long long)f->new_tokens);
    buf_free(&id);
}

/* --- running --- */

static void cmd_benchmark_progress(void *ud, const char *what)
{
    (void)ud;
    (void)fprintf(stderr, "[perf] %s\n", what);
}

static int cmd_benchmark_complain(const struct err *err, int status)
{
    (void)fprintf(stderr, "darkbloom benchmark: %s\n", err->text);
    return status;
}

static int cmd_benchmark_measure(struct cmd_benchmark *b, struct err *ret_err)
{
    const struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR, .clock = clock_system()};
    struct suite_config config = {.settings = &b->settings,
                                  .log = &log,
                                  .new_tokens = NEW_TOKENS,
                                  .progress = cmd_benchmark_progress};
    struct process *process = NULL;
    int rc = loop_uv_new(&config.loop, ret_err);

    if (rc < 0)
        return rc;
    rc = process_new(config.loop, &process);
    if (rc == 0) {
        config.process = process_ops(process);
        rc = suite_run(&config, &b->figures, ret_err);
    }
    process_free(process);
    loop_free(config.loop);
    return rc;
}

static int cmd_benchmark_run(struct cmd_benchmark *b)
{
    struct err err = {0};

    if (strcmp(cmd_benchmark_build(), "release") != 0)
        (void)fprintf(stderr, "[perf] build %s: its figures say nothing about a release build\n",
                      cmd_benchmark_build());
    if (cmd_benchmark_measure(b, &err) < 0)
        return cmd_benchmark_complain(&err, EXIT_FAILED);
    if (b->json)
        cmd_benchmark_print_json(b);
    else
        cmd_benchmark_print(b);
    return EXIT_DONE;
}

static const char *cmd_benchmark_get_env(const char *name)
{
    return getenv(name);
}

static int cmd_benchmark_print_help(void)
{
    (void)printf(
        "Usage: darkbloom benchmark --model FILE [--json] [OPTION]...\n"
        "Measure a model on this machine: first tokens, prompts, answers by rows, a prompt "
        "beside an answer, sealing.\nIts settings are those of serve; without --slots it "
        "takes %d.\n",
        ROWS);
    return EXIT_DONE;
}

/* --json is ours, the rest are the settings of serve. */
static int cmd_benchmark_take_json(struct cmd_benchmark *b, int argc, char **argv, char **ret_argv)
{
    int n = 0;

    for (int i = 0; i < argc && n < ARGS_MAX; i++) {
        if (i > 0 && strcmp(argv[i], "--json") == 0)
            b->json = true;
        else
            ret_argv[n++] = argv[i];
    }
    return n;
}

static int cmd_benchmark_with(struct cmd_benchmark *b, const struct cfg_source *src)
{
    struct cfg_args args;
    struct err err = {0};

    if (cfg_parse_args(src, &b->region, &args, &err) < 0)
        return cmd_benchmark_complain(&err, EXIT_USAGE);
    if (args.help)
        return cmd_benchmark_print_help();
    if (args.rest.n) {
        (void)err_set(&err, ERR_USAGE,
                      "unexpected argument \"%.*s\"; see darkbloom benchmark --help",
                      STR_ARG(args.rest.items[0]));
        return cmd_benchmark_complain(&err, EXIT_USAGE);
    }
    if ((args.file.p ? cfg_load_file(src, args.file.p, &b->region, &b->settings, &err)
                     : cfg_load(src, (struct str){0}, NULL, &b->region, &b->settings, &err)) < 0 ||
        provider_settings_check(&b->settings, &err) < 0)
        return cmd_benchmark_complain(&err, EXIT_USAGE);
    return cmd_benchmark_run(b);
}

int cmd_benchmark(int argc, char **argv)
{
    char *args[ARGS_MAX + 3], slots[] = "--slots=16";
    struct cmd_benchmark *b = calloc(1, sizeof *b);
    struct cfg_source src = {.table = &provider_settings_table, .getenv = cmd_benchmark_get_env};
    int status;

    if (!b || sodium_init() < 0) {
        free(b);
        return EXIT_FAILED;
    }
    signal(SIGPIPE, SIG_IGN);
    args[0] = argv[0];
    args[1] = slots; /* what comes later wins */
    src.argc = 1 + cmd_benchmark_take_json(b, argc, argv, args + 1);
    args[1] = slots;
    src.argv = args;
    arena_init(&b->region, REGION_MAX_BYTES);
    status = cmd_benchmark_with(b, &src);
    arena_free(&b->region);
    free(b);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/provider/fake_model.h"

#include <string.h>

void fake_model_init(struct fake_model *m)
{
    memset(m, 0, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
}

void fake_model_allow(struct fake_model *m, int n)
{
    pthread_mutex_lock(&m->lock);
    m->allowed += n;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

void fake_model_wait_at_gate(struct fake_model *m)
{
    pthread_mutex_lock(&m->lock);
    while (m->allowed >= m->passes)
        pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

void fake_model_hold_renders(struct fake_model *m, bool hold)
{
    pthread_mutex_lock(&m->lock);
    m->renders_held = hold;
    m->renders_allowed = m->renders;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

void fake_model_wait_at_render(struct fake_model *m)
{
    pthread_mutex_lock(&m->lock);
    while (m->renders_allowed >= m->renders)
        pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

int fake_model_passes(struct fake_model *m)
{
    int n;

    pthread_mutex_lock(&m->lock);
    n = m->passes;
    pthread_mutex_unlock(&m->lock);
    return n;
}

static struct model_limits limits(void *ud)
{
    const struct fake_model *m = ud;

    return (struct model_limits){FAKE_VOCAB, FAKE_CONTEXT, m->few_seqs ? m->few_seqs : FAKE_SEQS,
                                 m->few_rows ? m->few_rows : 512, FAKE_LONGEST_PIECE};
}

static int render(void *ud, const struct form_ask *ask, struct buf *out, struct form *ret_form,
                  enum engine_wrong *ret_wrong)
{
    struct fake_model *m = ud;

    pthread_mutex_lock(&m->lock);
    if (m->renders < FAKE_RENDERS && ask->messages.n > 1)
        m->rendered[m->renders] = ask->messages.p[1];
    m->renders++;
    pthread_cond_broadcast(&m->changed);
    while (m->renders_held && ask->messages.n > m->held_over && m->renders > m->renders_allowed)
        pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
    (void)ret_form;
    if (str_eq(ask->messages, STR("\"unrenderable\""))) {
        *ret_wrong = ENGINE_WRONG_MESSAGES;
        return ERR_PARSE;
    }
    return buf_append_str(out, ask->messages);
}

static int32_t tokenize(void *ud, struct str text, int32_t *ret_tokens, int32_t cap,
                        const atomic_bool *stop)
{
    struct fake_model *m = ud;

    if (stop && atomic_load(stop))
        return ERR_CANCELLED;
    pthread_mutex_lock(&m->lock);
    m->tokenised++;
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; text.n <= (size_t)cap && i < text.n; i++)
        ret_tokens[i] = (unsigned char)text.p[i];
    return (int32_t)text.n;
}

/* Tokens 256 and up stand for the scripted pieces, in order; the others for their byte. */
static size_t piece(void *ud, int32_t token, bool special, char *ret_text, size_t cap)
{
    const struct fake_model *m = ud;
    size_t n;

    (void)special;
    if (token >= 256 && token < 256 + FAKE_PIECES && m->pieces[token - 256]) {
        n = strlen(m->pieces[token - 256]);
        memcpy(ret_text, m->pieces[token - 256], n < cap ? n : cap);
        return n;
    }
    ret_text[0] = (char)token;
    return 1;
}

static bool is_end(void *ud, int32_t token)
{
    (void)ud;
    return token == FAKE_END;
}

/* A number from a sequence's whole history (FNV-1a). */
static uint32_t digest(const struct fake_model *m, int32_t seq)
{
    uint32_t h = 2166136261U;

    for (int32_t i = 0; i < m->length[seq]; i++)
        h = (h ^ (uint32_t)m->history[seq][i]) * 16777619U;
    return h;
}

static int32_t prompt_length(const struct fake_model *m, int32_t seq)
{
    for (int32_t i = 0; i < m->length[seq]; i++) {
        if (m->history[seq][i] == ']') /* the prompt ends with its array */
            return i + 1;
    }
    return m->length[seq];
}

/* What a broken kernel makes of a row's company. */
static uint32_t dependence(const struct fake_model *m, int32_t seq, int32_t rows)
{
    if (m->lone_rows_differ_from > 0)
        return rows == 1 && m->length[seq] >= m->lone_rows_differ_from;
    return m->dependent ? (uint32_t)rows : 0;
}

static int32_t next_token(const struct fake_model *m, int32_t seq, int32_t rows)
{
    int32_t generated = m->length[seq] - prompt_length(m, seq);

    if (m->end_after > 0 && generated >= m->end_after)
        return FAKE_END;
    if (m->pieces[0])
        return generated < FAKE_PIECES && m->pieces[generated] ? 256 + generated : FAKE_END;
    return (int32_t)('a' + (digest(m, seq) + dependence(m, seq, rows)) % 26);
}

static int pass_gate(struct fake_model *m)
{
    int rc;

    pthread_mutex_lock(&m->lock);
    m->passes++;
    pthread_cond_broadcast(&m->changed);
    while (m->gated && m->allowed < m->passes)
        pthread_cond_wait(&m->changed, &m->lock);
    rc = m->fail_next || m->fail_all ? ERR_MODEL : 0;
    if (m->give_up && atomic_load(m->give_up)) {
        m->given_up++;
        rc = ERR_CANCELLED;
    }
    m->fail_next = false;
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int64_t now(void *ud)
{
    return ((struct fake_model *)ud)->now_us;
}

struct clock fake_model_clock(struct fake_model *m)
{
    return (struct clock){now, now, m};
}

static void spend_time(struct fake_model *m, int32_t rows)
{
    int64_t us = m->pass_us + m->token_us * rows;

    m->now_us += us;
    m->longest_us = us > m->longest_us ? us : m->longest_us;
}

static void heed(void *ud, const atomic_bool *give_up)
{
    ((struct fake_model *)ud)->give_up = give_up;
}

static int decode(void *ud, const struct model_row *rows, int32_t n)
{
    struct fake_model *m = ud;
    int32_t seqs = 0;
    int rc = pass_gate(m);

    if (rc < 0)
        return rc;
    spend_time(m, n);
    for (int32_t i = 0; i < n; i++) {
        int32_t seq = rows[i].seq;
        bool first = i == 0 || rows[i - 1].seq != seq;

        seqs += first;
        if (first && i > 0 && rows[i - 1].seq != seq - 1)
            m->broke_order = true; /* a gap: the library would split the batch here */
        if (rows[i].pos != m->length[seq])
            m->broke_order = true;
        m->history[seq][m->length[seq]++] = rows[i].token;
        if (rows[i].want_logits)
            m->chosen[i] = next_token(m, seq, n);
    }
    m->most_seqs = seqs > m->most_seqs ? seqs : m->most_seqs;
    m->most_rows = n > m->most_rows ? n : m->most_rows;
    return 0;
}

static float *logits(void *ud, int32_t row)
{
    struct fake_model *m = ud;

    memset(m->row, 0, sizeof m->row);
    m->row[m->chosen[row]] = 20;
    if (m->broken)
        memset(m->row, 0xFF, sizeof m->row); /* NaN */
    return m->row;
}

static void forget(void *ud, int32_t seq)
{
    ((struct fake_model *)ud)->length[seq] = 0;
}

static void copy(void *ud, int32_t from, int32_t to)
{
    struct fake_model *m = ud;

    memcpy(m->history[to], m->history[from], sizeof m->history[to]);
    m->length[to] = m->length[from];
}

const struct model_ops fake_model_ops = {.limits = limits,
                                         .render = render,
                                         .tokenize = tokenize,
                                         .piece = piece,
                                         .is_end = is_end,
                                         .heed = heed,
                                         .decode = decode,
                                         .logits = logits,
                                         .forget = forget,
                                         .copy = copy};

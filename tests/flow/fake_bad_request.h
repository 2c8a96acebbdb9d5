/* SPDX-License-Identifier: Apache-2.0 */
/* Bad requests as rows of a table, and what has to hold around each: one answer with that status,
 * code and param in OpenAI's form; no hold, the balance as before; the provider beside it got
 * nothing and is trusted as before; no request lives; and all the memory is back. */
#ifndef TESTS_FLOW_FAKE_BAD_REQUEST_H
#define TESTS_FLOW_FAKE_BAD_REQUEST_H

#include "fake_consumer.h"
#include "fake_provider.h"

enum bad_kind {
    BAD_BODY,   /* the text is the body of a chat request */
    BAD_MEMBER, /* it is put in front of the members of a good body */
    BAD_LINES,  /* header lines of a request with a good body, beside Host, key and length */
    BAD_HEAD,   /* a whole head, up to the empty line; a good body follows */
    BAD_RAW     /* the whole request */
};

/* In a text, $KEY is a key that is known, $REVOKED one that is no longer, $LENGTH the length of the
 * good body. */
struct bad_request {
    const char *name;
    enum bad_kind kind;
    struct str text;
    int status;        /* 0: the connection is closed without an answer */
    const char *code;  /* of the answer, the last one where there are several */
    const char *param; /* NULL: null */
};

#define BAD_SECRET "a-prompt-that-nobody-reads"
#define BAD_GOOD_BODY                                                                          \
    "{\"model\":\"" FAKE_MODEL "\",\"messages\":[{\"role\":\"user\",\"content\":\"" BAD_SECRET \
    "\"}],\"max_tokens\":20}"

/* A world with one idle provider that is trusted, and a second key, which was revoked. */
struct bad_world {
    struct fake_world *w;
    struct fake_provider *idle;
    char revoked[KEY_TEXT_BYTES];
};

void bad_world_up(struct bad_world *b);
/* A good request is served still; neither prompt nor key is in the log. */
void bad_world_down(struct bad_world *b);

/* Send one, look at its answer, and see that it left nothing behind. Memory is compared from the
 * second time on that a row is sent: the first may fill a cache. */
void bad_request_send(struct bad_world *b, const struct bad_request *row, bool compare_memory);
/* Each row twice, in one world. */
void bad_requests_send(const struct bad_request *rows, size_t n);

/* The state that bad input must leave as it is. */
struct bad_state {
    int64_t balance, holds;
    size_t live_bytes, charged_bytes;
};
struct bad_state bad_state_of(struct bad_world *b);
/* Fails the test, naming `name`, where something differs. */
void bad_state_check(struct bad_world *b, const struct bad_state *before, const char *name,
                     bool compare_memory);

/* The last whole answer among `bytes`; .p NULL: none. *ret_n: how many there are, without interim
 * ones (1xx). Fails the test where something else stands between them. */
struct str bad_last_answer(struct str bytes, size_t *ret_n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer: raw HTTP bytes out, raw HTTP bytes in. It reads all the time unless it was made deaf.
 */
#ifndef TESTS_FLOW_FAKE_CONSUMER_H
#define TESTS_FLOW_FAKE_CONSUMER_H

#include "base/buf.h"
#include "fake_world.h"

#define FAKE_MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"Say hello\"}]"
#define FAKE_WHOLE    "{\"model\":\"" FAKE_MODEL "\",\"max_tokens\":100," FAKE_MESSAGES "}"
#define FAKE_STREAM \
    "{\"model\":\"" FAKE_MODEL "\",\"max_tokens\":100,\"stream\":true," FAKE_MESSAGES "}"

struct fake_ask {
    const char *body;    /* NULL: FAKE_STREAM */
    const char *key;     /* NULL: the world's; "": no Authorization at all */
    const char *headers; /* more header lines, each with its CRLF; may be NULL */
    const char *target;  /* NULL: "POST /v1/chat/completions" */
    bool no_receipt;     /* does not ask for one */
    uint16_t port;       /* 0: the API's */
    bool deaf;           /* reads nothing until fake_consumer_listen */
    struct str raw;      /* .p: these bytes, and nothing of the above but port and deaf */
};

struct fake_consumer {
    struct fake_world *w;
    int sock; /* -1: not connected, or gone */
    struct loop_watch *watch;
    bool deaf, left;
    bool was_deaf; /* from the start */
    bool ended;    /* the coordinator closed the connection */
    struct buf out, in, body;
};

/* Connect, send the request and let everything settle. */
struct fake_consumer *fake_consumer_ask(struct fake_world *w, const struct fake_ask *ask);
/* The same without settling: the connection is only asked for. */
struct fake_consumer *fake_consumer_ask_unsettled(struct fake_world *w, const struct fake_ask *ask);
struct fake_consumer *fake_consumer_stream(struct fake_world *w); /* FAKE_STREAM */
struct fake_consumer *fake_consumer_whole(struct fake_world *w);  /* FAKE_WHOLE */

/* Forget the answer so far and send another request on the same connection. */
void fake_consumer_ask_again(struct fake_consumer *c, const struct fake_ask *ask);
/* Read from now on. */
void fake_consumer_listen(struct fake_consumer *c);
/* Read that many bytes, or what is there, and stay deaf. */
void fake_consumer_take(struct fake_consumer *c, size_t bytes);
/* Close the connection. */
void fake_consumer_leave(struct fake_consumer *c);
/* Send nothing more, but go on reading. */
void fake_consumer_shut(struct fake_consumer *c);
/* Leave, and take the world's newest consumer out of it. */
void fake_consumer_forget(struct fake_consumer *c);
void fake_consumer_free(struct fake_consumer *c);

/* --- what has come so far --- */

/* 0: no response head yet. */
int fake_consumer_status(struct fake_consumer *c);
/* Value of a response header; .p NULL: not there. */
struct str fake_consumer_header(struct fake_consumer *c, const char *name);
/* The body, without its chunked coding; valid until the next call. */
struct str fake_consumer_body(struct fake_consumer *c);
/* Whether the response is complete. */
bool fake_consumer_done(struct fake_consumer *c);
/* Data of the `nth` event of the stream; .p NULL: there is none. Comments do not count. */
struct str fake_consumer_event(struct fake_consumer *c, size_t nth);
size_t fake_consumer_events(struct fake_consumer *c);
/* The texts of all content deltas, joined (NUL-terminated, valid until the next call). */
const char *fake_consumer_text(struct fake_consumer *c);

/* Whether compact JSON contains `member` as written, e.g. "\"code\":\"timeout\"". */
bool fake_says(struct str json, const char *member);
/* The integer behind `"name":`; fails the test where there is none. */
int64_t fake_number(struct str json, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Bad frames of a provider as rows of a table, and what has to hold around each: the provider's
 * link, trust and request end as the row says; a stream that runs at its neighbour ends as if
 * nothing had happened; both cost what was delivered and not a micro-USD more; and when all have
 * left, all the memory is back. */
#ifndef TESTS_FLOW_FAKE_BAD_FRAME_H
#define TESTS_FLOW_FAKE_BAD_FRAME_H

#include "fake_consumer.h"
#include "fake_provider.h"

/* What the provider has done when the frame comes. */
enum bad_when {
    BAD_CONNECTED,  /* nothing: it has not registered */
    BAD_REGISTERED, /* registered, and proved its key; no request */
    BAD_ASKED,      /* was given a request */
    BAD_ANSWERING,  /* accepted it, and "Hel" has been delivered: 15 tokens */
    BAD_COMPLETED   /* served it whole */
};

/* What becomes of its request. */
enum bad_fate {
    BAD_GOES_ON, /* still there: the provider can serve it to its end. Or there was none */
    BAD_RETRIED, /* the neighbour has it now */
    BAD_BROKEN,  /* the consumer got an error event and pays what was delivered */
    BAD_SERVED   /* it was served by what the row says */
};

struct bad_link {
    struct fake_world *w;
    struct fake_provider *bad, *neighbour;
    struct fake_consumer *asker, *bystander; /* the request there, and the neighbour's stream */
    size_t charged_bytes, holds;             /* before anybody came */
};

/* In a text, $ID is the wire id of its request, $OTHER the neighbour's, $KEY its session's key,
 * $SEALED a sealed line that says "lo". */
struct bad_frame {
    const char *name;
    enum bad_when when;
    struct str text;                 /* a text frame; .p NULL: */
    void (*say)(struct bad_link *b); /* says it, whatever it is */
    int close;                       /* the link is closed with that code; 0: it stays */
    const char *distrust;            /* the reason; NULL: trusted as before */
    unsigned ignored;                /* messages that are counted as such */
    enum bad_fate fate;
    int64_t cost_micro_usd; /* of a request that is BAD_SERVED */
};

void bad_link_up(struct fake_world *w, struct bad_link *b, enum bad_when when);
/* Look at what the row expects, let everybody finish and leave, and look at the money. */
void bad_link_down(struct bad_link *b, const struct bad_frame *row);
/* Each by a provider of its own beside a new neighbour. */
void bad_frames_send(const struct bad_frame *rows, size_t n);

/* Bytes on the provider's socket, as they are. */
void bad_bytes(struct bad_link *b, const void *bytes, size_t n);
/* A frame under a mask: `first` its first byte (FIN, reserved bits, opcode). */
void bad_ws_frame(struct bad_link *b, uint8_t first, struct str payload);
/* The text with its $WORDS replaced, as a text frame. */
void bad_text(struct bad_link *b, struct str text);

#endif

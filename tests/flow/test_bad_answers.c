/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider may say of a request that it should not: in the wrong order, twice, of somebody
 * else's, unsealed, under another key, in absurd numbers. What it costs is checked to the last
 * micro-USD. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_bad_frame.h"

enum { PROMPT = 80, COMPLETION = 30, FRAME_MAX_BYTES = 10 << 20 };

#define CHUNK(members) "{\"type\":\"inference_response_chunk\",\"request_id\":\"$ID\"," members "}"
#define SEALED(key, ciphertext)                                                                   \
    CHUNK("\"encrypted_data\":{\"ephemeral_public_key\":\"" key "\",\"ciphertext\":\"" ciphertext \
          "\"}")
#define ZERO_KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

/* --- chunks that are not sealed to the session: distrusted, tried elsewhere or broken --- */

#define DISTRUSTS(name_, text_, reason_)                                            \
    {.name = name_,                                                                 \
     .when = BAD_ASKED,                                                             \
     .text = STR(text_),                                                            \
     .distrust = reason_,                                                           \
     .fate = BAD_RETRIED},                                                          \
    {                                                                               \
        .name = name_ ", in mid answer", .when = BAD_ANSWERING, .text = STR(text_), \
        .distrust = reason_, .fate = BAD_BROKEN                                     \
    }

static const struct bad_frame unsealed[] = {
    DISTRUSTS("a plaintext chunk", CHUNK("\"data\":\"data: {\\\"choices\\\":[]}\""),
              "plaintext_chunk"),
    DISTRUSTS("a plaintext chunk beside a sealed one",
              CHUNK("\"data\":\"x\",\"encrypted_data\":{\"ephemeral_public_key\":\"$KEY\","
                    "\"ciphertext\":\"$SEALED\"}"),
              "plaintext_chunk"),
    DISTRUSTS("a chunk of nothing", CHUNK("\"tokens\":1"), "plaintext_chunk"),
    DISTRUSTS("an envelope of null", CHUNK("\"encrypted_data\":null"), "plaintext_chunk"),
    DISTRUSTS("an empty envelope", CHUNK("\"encrypted_data\":{}"), "foreign_key"),
    DISTRUSTS("an empty key", SEALED("", "$SEALED"), "foreign_key"),
    DISTRUSTS("a foreign key", SEALED(ZERO_KEY, "$SEALED"), "foreign_key"),
    DISTRUSTS("a key that is no base64", SEALED("????", "$SEALED"), "foreign_key"),
    DISTRUSTS("a key with more behind", SEALED("$KEY=", "$SEALED"), "foreign_key"),
    DISTRUSTS("a key of a megabyte's beginning", SEALED("$KEY$KEY$KEY$KEY", "$SEALED"),
              "foreign_key"),
    DISTRUSTS("an empty ciphertext", SEALED("$KEY", ""), "undecryptable_chunk"),
    DISTRUSTS("a ciphertext that is no base64", SEALED("$KEY", "!!!!"), "undecryptable_chunk"),
    DISTRUSTS("a ciphertext of a byte", SEALED("$KEY", "AA=="), "undecryptable_chunk"),
    DISTRUSTS("a ciphertext of zeros", SEALED("$KEY", ZERO_KEY), "undecryptable_chunk"),
    DISTRUSTS("a ciphertext with more behind", SEALED("$KEY", "$SEALED$SEALED"),
              "undecryptable_chunk"),
    DISTRUSTS("a ciphertext with a line break", SEALED("$KEY", "\\n$SEALED"),
              "undecryptable_chunk"),
};

/* --- of requests that are not its own, or no more --- */

#define IGNORED(name_, when_, text_)                                   \
    {                                                                  \
        .name = name_, .when = when_, .text = STR(text_), .ignored = 1 \
    }
#define OF_OTHER(type, members) "{\"type\":\"" type "\",\"request_id\":\"$OTHER\"" members "}"
#define OF_OWN(type, members)   "{\"type\":\"" type "\",\"request_id\":\"$ID\"" members "}"
#define OF(id, type)            "{\"type\":\"" type "\",\"request_id\":\"" id "\"}"
#define USAGE(prompt, completion) \
    ",\"usage\":{\"prompt_tokens\":" prompt ",\"completion_tokens\":" completion "}"

static const struct bad_frame not_its_own[] = {
    IGNORED("the neighbour's chunk", BAD_ANSWERING,
            OF_OTHER("inference_response_chunk", ",\"data\":\"data: {}\"")),
    IGNORED("the neighbour's acceptance", BAD_ANSWERING,
            OF_OTHER("inference_accepted", ",\"prompt_tokens\":1")),
    IGNORED("the neighbour's end", BAD_ANSWERING, OF_OTHER("inference_complete", USAGE("1", "1"))),
    IGNORED("the neighbour's failure", BAD_ANSWERING,
            OF_OTHER("inference_error", ",\"status_code\":400")),
    IGNORED("the neighbour's failure, idle", BAD_REGISTERED,
            OF_OTHER("inference_error", ",\"status_code\":400")),
    IGNORED("a chunk of nobody's", BAD_ANSWERING, OF("nobody", "inference_response_chunk")),
    IGNORED("an empty id", BAD_ANSWERING, OF("", "inference_complete")),
    IGNORED("an id with more behind", BAD_ANSWERING, OF("$IDx", "inference_complete")),
    IGNORED("an id with a NUL behind", BAD_ANSWERING, OF("$ID\\u0000", "inference_complete")),
    IGNORED("an id with a blank before", BAD_ANSWERING, OF(" $ID", "inference_error")),
    IGNORED("two ids", BAD_ANSWERING, OF("$ID\",\"request_id\":\"$OTHER", "inference_error")),
    IGNORED("an end without a request", BAD_REGISTERED, OF("nobody", "inference_complete")),
    IGNORED("a chunk behind the end", BAD_COMPLETED, SEALED("$KEY", "$SEALED")),
    IGNORED("a plaintext chunk behind the end", BAD_COMPLETED, CHUNK("\"data\":\"x\"")),
    IGNORED("an acceptance behind the end", BAD_COMPLETED, OF_OWN("inference_accepted", "")),
    IGNORED("a second end", BAD_COMPLETED, OF_OWN("inference_complete", USAGE("5000", "5000"))),
    IGNORED("a failure behind the end", BAD_COMPLETED,
            OF_OWN("inference_error", ",\"status_code\":500")),
};

/* --- in the wrong order --- */

#define SAYS(name_, when_, say_, fate_)                          \
    {                                                            \
        .name = name_, .when = when_, .say = say_, .fate = fate_ \
    }

static void accepts_twice(struct bad_link *b)
{
    fake_provider_accept(b->bad, 0, PROMPT);
    fake_provider_accept(b->bad, 0, 1);
}

static void ends_with_nothing(struct bad_link *b)
{
    fake_provider_complete(b->bad, 0, 1000000, 1000000);
}

static void accepts_and_ends(struct bad_link *b)
{
    fake_provider_accept(b->bad, 0, PROMPT);
    fake_provider_complete(b->bad, 0, 1000000, 1000000);
}

static void fails_twice(struct bad_link *b)
{
    fake_provider_error(b->bad, 0, 500, "");
    fake_provider_error(b->bad, 0, 500, "");
}

static void fails_and_ends(struct bad_link *b)
{
    fake_provider_error(b->bad, 0, 500, "");
    fake_provider_complete(b->bad, 0, PROMPT, COMPLETION);
}

static void fails_and_goes_on(struct bad_link *b)
{
    fake_provider_error(b->bad, 0, 500, "");
    fake_provider_text(b->bad, 0, "lo", 1);
}

static void fails(struct bad_link *b)
{
    fake_provider_error(b->bad, 0, 500, "");
}

static void blames_the_request(struct bad_link *b)
{
    fake_provider_error(b->bad, 0, 400, "");
}

#define FAILS(name_, when_, members, fate_)                                            \
    {                                                                                  \
        .name = name_, .when = when_, .text = STR(OF_OWN("inference_error", members)), \
        .fate = fate_                                                                  \
    }

static const struct bad_frame out_of_order[] = {
    SAYS("two acceptances", BAD_ASKED, accepts_twice, BAD_GOES_ON),
    SAYS("an acceptance in mid answer", BAD_ANSWERING, accepts_twice, BAD_GOES_ON),
    SAYS("an end before anything", BAD_ASKED, ends_with_nothing, BAD_RETRIED),
    SAYS("an end behind the acceptance", BAD_ASKED, accepts_and_ends, BAD_RETRIED),
    SAYS("a failure", BAD_ASKED, fails, BAD_RETRIED),
    SAYS("a failure in mid answer", BAD_ANSWERING, fails, BAD_BROKEN),
    SAYS("blame for the request in mid answer", BAD_ANSWERING, blames_the_request, BAD_BROKEN),
    {.name = "two failures",
     .when = BAD_ASKED,
     .say = fails_twice,
     .fate = BAD_RETRIED,
     .ignored = 1},
    {.name = "an end behind a failure",
     .when = BAD_ASKED,
     .say = fails_and_ends,
     .fate = BAD_RETRIED,
     .ignored = 1},
    {.name = "a chunk behind a failure",
     .when = BAD_ASKED,
     .say = fails_and_goes_on,
     .fate = BAD_RETRIED,
     .ignored = 1},
    {.name = "an end behind a failure in mid answer",
     .when = BAD_ANSWERING,
     .say = fails_and_ends,
     .fate = BAD_BROKEN,
     .ignored = 1},
    FAILS("a failure without a status", BAD_ASKED, "", BAD_RETRIED),
    FAILS("a status of -5", BAD_ASKED, ",\"status_code\":-5", BAD_RETRIED),
    FAILS("a status of 200", BAD_ASKED, ",\"status_code\":200", BAD_RETRIED),
    FAILS("a status of 2^63 - 1", BAD_ASKED, ",\"status_code\":9223372036854775807", BAD_RETRIED),
    FAILS("a code that nobody knows", BAD_ASKED, ",\"status_code\":500,\"code\":\"novelty\"",
          BAD_RETRIED),
    FAILS("a code with a line break", BAD_ASKED,
          ",\"status_code\":500,\"code\":\"a\\nlevel=error\",\"param\":\"b\\nc\"", BAD_RETRIED),
    FAILS("tokens of 2^63 - 1", BAD_ASKED,
          ",\"status_code\":500,\"code\":\"context_length_exceeded\","
          "\"prompt_tokens\":9223372036854775807,\"context_tokens\":-9223372036854775808",
          BAD_RETRIED),
};

/* --- in absurd numbers --- */

#define TEXT_CHUNK(tokens)                                                                     \
    CHUNK("\"encrypted_data\":{\"ephemeral_public_key\":\"$KEY\",\"ciphertext\":\"$SEALED\"}," \
          "\"tokens\":" tokens)
#define ACCEPTED(tokens) OF_OWN("inference_accepted", ",\"prompt_tokens\":" tokens)

/* 80 tokens of the prompt and the 15 of "Hel" are 110 micro-USD; a prompt cannot have more tokens
 * than were held for it, which are its bytes and the template's. */
enum {
    PROMPT_CEILING =
        sizeof "[{\"role\":\"user\",\"content\":\"Say hello\"}]" - 1 + FAKE_OVERHEAD + 16,
    DELIVERED = 2 * 15,
    LEAST_COST = 100
};

#define ENDS(name_, members, cost_)                                                               \
    {                                                                                             \
        .name = name_, .when = BAD_ANSWERING, .text = STR(OF_OWN("inference_complete", members)), \
        .fate = BAD_SERVED, .cost_micro_usd = cost_                                               \
    }
#define GOES_ON(name_, when_, text_)                     \
    {                                                    \
        .name = name_, .when = when_, .text = STR(text_) \
    }

static const struct bad_frame numbers[] = {
    ENDS("no usage", "", PROMPT + DELIVERED),
    ENDS("a usage of null", ",\"usage\":null", PROMPT + DELIVERED),
    ENDS("a usage of nothing", ",\"usage\":{}", PROMPT + DELIVERED),
    ENDS("a usage of 0", USAGE("0", "0"), PROMPT + DELIVERED),
    ENDS("a usage of -5", USAGE("-5", "-5"), PROMPT + DELIVERED),
    ENDS("a usage of -2^63", USAGE("-9223372036854775808", "-9223372036854775808"),
         PROMPT + DELIVERED),
    ENDS("a usage of 2^63 - 1", USAGE("9223372036854775807", "9223372036854775807"),
         PROMPT_CEILING + DELIVERED),
    ENDS("a thousand times the answer", USAGE("80", "15000"), PROMPT + DELIVERED),
    ENDS("a third of the answer", USAGE("80", "5"), LEAST_COST),
    GOES_ON("a prompt of -5 tokens", BAD_ASKED, ACCEPTED("-5")),
    GOES_ON("a prompt of -2^63 tokens", BAD_ASKED, ACCEPTED("-9223372036854775808")),
    GOES_ON("a prompt of 2^63 - 1 tokens", BAD_ASKED, ACCEPTED("9223372036854775807")),
    GOES_ON("a prompt of 1 token, in mid answer", BAD_ANSWERING, ACCEPTED("1")),
};

/* Chunks that say how many tokens they are, before the answer ends with a usage of 20. */
static void text_of(struct bad_link *b, int64_t tokens, int64_t completion)
{
    fake_provider_exaggerate(b->bad, 0, "lo", tokens);
    fake_provider_complete(b->bad, 0, PROMPT, completion);
}

static void claims_minus_one(struct bad_link *b)
{
    bad_text(b, STR(TEXT_CHUNK("-1")));
    fake_provider_complete(b->bad, 0, PROMPT, 0);
}

static void claims_minus_two_to_the_63(struct bad_link *b)
{
    bad_text(b, STR(TEXT_CHUNK("-9223372036854775808")));
    fake_provider_complete(b->bad, 0, PROMPT, 0);
}

static void claims_two_to_the_63(struct bad_link *b)
{
    text_of(b, INT64_MAX, INT64_MAX);
}

static void claims_two_to_the_63_twice(struct bad_link *b)
{
    fake_provider_exaggerate(b->bad, 0, "l", INT64_MAX);
    fake_provider_exaggerate(b->bad, 0, "o", INT64_MAX);
    fake_provider_complete(b->bad, 0, PROMPT, INT64_MAX);
}

static void claims_nothing(struct bad_link *b)
{
    text_of(b, 0, 0);
}

/* A chunk without a count is one token; what a chunk claims is believed up to the bytes of its text
 * and 16 tokens that may be in none, over the whole answer. */
enum {
    UNCOUNTED_COST = PROMPT + 2 * (15 + 1),
    MOST_COST = PROMPT + 2 * (15 + 2 + 16),
    UNCLAIMED_COST = PROMPT + DELIVERED
};

#define CLAIMS(name_, say_, cost_)                                             \
    {                                                                          \
        .name = name_, .when = BAD_ANSWERING, .say = say_, .fate = BAD_SERVED, \
        .cost_micro_usd = cost_                                                \
    }

static const struct bad_frame claims[] = {
    CLAIMS("a chunk of -1 tokens", claims_minus_one, UNCOUNTED_COST),
    CLAIMS("a chunk of -2^63 tokens", claims_minus_two_to_the_63, UNCOUNTED_COST),
    CLAIMS("a chunk of 0 tokens", claims_nothing, UNCLAIMED_COST),
    CLAIMS("a chunk of 2^63 - 1 tokens", claims_two_to_the_63, MOST_COST),
    CLAIMS("two chunks of 2^63 - 1 tokens", claims_two_to_the_63_twice, MOST_COST),
};

/* --- sealed, but no part of an answer --- */

static void line(struct bad_link *b, struct str text)
{
    fake_provider_line(b->bad, 0, text, 1);
}

#define LINE(fn, text)                 \
    static void fn(struct bad_link *b) \
    {                                  \
        line(b, STR(text));            \
    }

LINE(says_a_word, "hello")
LINE(says_no_json, "data: hello")
LINE(says_a_number, "data: 5")
LINE(says_a_list, "data: []")
LINE(says_half_an_object, "data: {\"choices\":[")
LINE(says_no_utf8, "data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}")
LINE(says_a_surrogate, "data: {\"choices\":[{\"delta\":{\"content\":\"\\ud800\"}}]}")
LINE(says_an_error, "data: {\"error\":{\"message\":\"x\"}}")
LINE(says_nothing, "")
LINE(says_a_comment, ": x")
LINE(says_done, "data: [DONE]")
LINE(says_no_choices, "data: {\"id\":\"x\"}")
LINE(says_usage_below_zero,
     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":-5}}")

#define LINES(name_, say_, asked, answering)                                                   \
    {.name = name_, .when = BAD_ASKED, .say = say_, .fate = asked},                            \
    {                                                                                          \
        .name = name_ ", in mid answer", .when = BAD_ANSWERING, .say = say_, .fate = answering \
    }

static const struct bad_frame no_chunks[] = {
    LINES("a word", says_a_word, BAD_RETRIED, BAD_BROKEN),
    LINES("no JSON", says_no_json, BAD_RETRIED, BAD_BROKEN),
    LINES("a number", says_a_number, BAD_RETRIED, BAD_BROKEN),
    LINES("a list", says_a_list, BAD_RETRIED, BAD_BROKEN),
    LINES("half an object", says_half_an_object, BAD_RETRIED, BAD_BROKEN),
    LINES("no UTF-8", says_no_utf8, BAD_RETRIED, BAD_BROKEN),
    LINES("half a surrogate pair", says_a_surrogate, BAD_RETRIED, BAD_BROKEN),
    LINES("an error", says_an_error, BAD_RETRIED, BAD_BROKEN),
    LINES("an empty line", says_nothing, BAD_GOES_ON, BAD_GOES_ON),
    LINES("a comment", says_a_comment, BAD_GOES_ON, BAD_GOES_ON),
    LINES("[DONE]", says_done, BAD_GOES_ON, BAD_GOES_ON),
    LINES("no choices", says_no_choices, BAD_GOES_ON, BAD_GOES_ON),
    LINES("a usage of -5", says_usage_below_zero, BAD_GOES_ON, BAD_GOES_ON),
};

#define SEND(rows) bad_frames_send(rows, sizeof(rows) / sizeof(rows)[0])

static void a_chunk_that_is_not_sealed_to_the_session_costs_the_trust(void **state)
{
    (void)state;
    SEND(unsealed);
}

static void what_is_not_its_own_is_ignored_and_counted(void **state)
{
    (void)state;
    SEND(not_its_own);
}

static void an_answer_out_of_order_is_tried_elsewhere_or_broken_off(void **state)
{
    (void)state;
    SEND(out_of_order);
}

static void no_number_costs_more_than_was_delivered_and_held(void **state)
{
    (void)state;
    SEND(numbers);
    SEND(claims);
}

static void a_sealed_line_that_is_no_chunk_is_the_providers_fault(void **state)
{
    (void)state;
    SEND(no_chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_that_is_not_sealed_to_the_session_costs_the_trust),
        cmocka_unit_test(what_is_not_its_own_is_ignored_and_counted),
        cmocka_unit_test(an_answer_out_of_order_is_tried_elsewhere_or_broken_off),
        cmocka_unit_test(no_number_costs_more_than_was_delivered_and_held),
        cmocka_unit_test(a_sealed_line_that_is_no_chunk_is_the_providers_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that are no message, or the wrong one: design.md §9 "closing faults on the provider link",
 * and what is counted and ignored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_bad_frame.h"

/* Before register; then, in the middle of an answer: closed with a code, or ignored. */
#define FIRST(name_, text_, code_)                                               \
    {                                                                            \
        .name = name_, .when = BAD_CONNECTED, .text = STR(text_), .close = code_ \
    }
#define CLOSES(name_, text_, code_)                                               \
    {                                                                             \
        .name = name_, .when = BAD_ANSWERING, .text = STR(text_), .close = code_, \
        .fate = BAD_BROKEN                                                        \
    }
#define IGNORED(name_, text_)                                                  \
    {                                                                          \
        .name = name_, .when = BAD_ANSWERING, .text = STR(text_), .ignored = 1 \
    }
#define HARMLESS(name_, text_)                                   \
    {                                                            \
        .name = name_, .when = BAD_ANSWERING, .text = STR(text_) \
    }

/* --- before register --- */

#define REGISTER(members)              "{\"type\":\"register\"" members "}"
#define REGISTERS(name, members, code) FIRST(name, REGISTER("," members), code)

static const struct bad_frame first[] = {
    FIRST("nothing", "", 1007),
    FIRST("no JSON", "hello", 1007),
    FIRST("a list", "[{\"type\":\"register\"}]", 1007),
    FIRST("half a register", "{\"type\":\"register\",\"models\":[", 1007),
    FIRST("no type", "{\"backend\":\"inprocess-llama\"}", 1008),
    FIRST("a type of null", "{\"type\":null}", 1008),
    FIRST("a type that is a number", "{\"type\":1}", 1008),
    FIRST("an unknown type", "{\"type\":\"novelty\"}", 1008),
    FIRST("a type in capitals", "{\"type\":\"REGISTER\"}", 1008),
    FIRST("a heartbeat", "{\"type\":\"heartbeat\",\"status\":\"idle\"}", 1008),
    FIRST("an acceptance", "{\"type\":\"inference_accepted\",\"request_id\":\"$OTHER\"}", 1008),
    FIRST("a chunk", "{\"type\":\"inference_response_chunk\",\"request_id\":\"$OTHER\"}", 1008),
    FIRST("a completion", "{\"type\":\"inference_complete\",\"request_id\":\"$OTHER\"}", 1008),
    FIRST("an error",
          "{\"type\":\"inference_error\",\"request_id\":\"$OTHER\",\"status_code\":400}", 1008),
    FIRST("an answer to no challenge", "{\"type\":\"attestation_response\",\"nonce\":\"x\"}", 1008),
    FIRST("a model's state",
          "{\"type\":\"load_model_status\",\"model_id\":\"x\",\"status\":\"started\"}", 1008),
    FIRST("a coordinator's request", "{\"type\":\"inference_request\",\"request_id\":\"x\"}", 1008),
    FIRST("a coordinator's challenge",
          "{\"type\":\"attestation_challenge\",\"nonce\":\"x\",\"timestamp\":\"y\"}", 1008),
    FIRST("a coordinator's cancel", "{\"type\":\"cancel\",\"request_id\":\"$OTHER\"}", 1008),
    REGISTERS("hardware that is a string", "\"hardware\":\"Mac\"", 1008),
    REGISTERS("memory that is a string", "\"hardware\":{\"memory_gb\":\"64\"}", 1008),
    REGISTERS("models that are an object", "\"models\":{\"id\":\"x\"}", 1008),
    REGISTERS("a model that is a string", "\"models\":[\"" FAKE_MODEL "\"]", 1008),
    REGISTERS("a model without an id", "\"models\":[{\"size_bytes\":5}]", 1008),
    REGISTERS("a model whose id is a number", "\"models\":[{\"id\":5}]", 1008),
    REGISTERS("a context of 1.5", "\"models\":[{\"id\":\"x\",\"context_length\":1.5}]", 1008),
    REGISTERS("a context of 2^63",
              "\"models\":[{\"id\":\"x\",\"context_length\":9223372036854775808}]", 1008),
    REGISTERS("a backend that is a list", "\"backend\":[]", 1008),
    REGISTERS("a version that is a number", "\"version\":2", 1008),
    REGISTERS("a key that is an object", "\"public_key\":{}", 1008),
    REGISTERS("encrypted chunks: yes", "\"encrypted_response_chunks\":\"yes\"", 1008),
    REGISTERS("a speed that is a string", "\"decode_tps\":\"fast\"", 1008),
    REGISTERS("capabilities that are a list", "\"privacy_capabilities\":[]", 1008),
    REGISTERS("a capability of 1", "\"privacy_capabilities\":{\"text_proxy_disabled\":1}", 1008),
    REGISTERS("hashes that are numbers", "\"template_hashes\":{\"a\":1}", 1008),
    REGISTERS("an attestation that stands twice", "\"attestation\":{},\"attestation\":{}", 1008),
    REGISTERS("a name that is no UTF-8", "\"hardware\":{\"chip_name\":\"\xff\"}", 1007),
    REGISTERS("a lone surrogate", "\"backend\":\"\\ud800\"", 1007),
};

/* --- what is no message --- */

#define HEARTBEAT(members)         "{\"type\":\"heartbeat\",\"status\":\"busy\"" members "}"
#define BEATS(name, members, code) CLOSES(name, HEARTBEAT("," members), code)

static const struct bad_frame no_message[] = {
    CLOSES("an empty frame", "", 1007),
    CLOSES("white space", " \n\t ", 1007),
    CLOSES("no JSON", "hello", 1007),
    CLOSES("a number", "5", 1007),
    CLOSES("null", "null", 1007),
    CLOSES("a list", "[1,2]", 1007),
    CLOSES("cut JSON", "{\"type\":\"heartbeat\"", 1007),
    CLOSES("two values", HEARTBEAT() "{}", 1007),
    CLOSES("a NUL behind", HEARTBEAT() "\0", 1007),
    CLOSES("a comma too many", "{\"type\":\"heartbeat\",}", 1007),
    CLOSES("a raw control character", "{\"type\":\"heart\nbeat\"}", 1007),
    CLOSES("NaN", HEARTBEAT(",\"system_metrics\":{\"cpu_usage\":NaN}"), 1007),
    CLOSES("1e999", HEARTBEAT(",\"system_metrics\":{\"cpu_usage\":1e999}"), 1007),
    CLOSES("no UTF-8", "{\"type\":\"heartbeat\",\"status\":\"\xff\xfe\"}", 1007),
    CLOSES("an overlong slash", "{\"type\":\"heartbeat\",\"status\":\"\xc0\xaf\"}", 1007),
    CLOSES("a surrogate in UTF-8", "{\"type\":\"heartbeat\",\"status\":\"\xed\xa0\x80\"}", 1007),
    CLOSES("beyond U+10FFFF", "{\"type\":\"heartbeat\",\"status\":\"\xf4\x90\x80\x80\"}", 1007),
    CLOSES("a type that is a number", "{\"type\":5}", 1008),
    CLOSES("a type that is a list", "{\"type\":[\"heartbeat\"]}", 1008),
    CLOSES("a second register", REGISTER(",\"backend\":\"inprocess-llama\",\"models\":[]"), 1008),
};

/* --- wrong types in each message --- */

#define SLOT(members) "\"backend_capacity\":{\"slots\":[{" members "}]}"
#define OF(type, name, members, code) \
    CLOSES(name, "{\"type\":\"" type "\",\"request_id\":\"$ID\"," members "}", code)

static const struct bad_frame wrong_types[] = {
    BEATS("stats that are a list", "\"stats\":[]", 1008),
    BEATS("a count that is a string", "\"stats\":{\"requests_served\":\"3\"}", 1008),
    BEATS("a count of 1.5", "\"stats\":{\"requests_served\":1.5}", 1008),
    BEATS("a count of 2^63", "\"stats\":{\"tokens_generated\":9223372036854775808}", 1008),
    BEATS("a model that is a number", "\"active_model\":5", 1008),
    BEATS("warm models that are a string", "\"warm_models\":\"x\"", 1008),
    BEATS("warm models that are numbers", "\"warm_models\":[1,2]", 1008),
    BEATS("metrics that are a number", "\"system_metrics\":3", 1008),
    BEATS("a load that is a string", "\"system_metrics\":{\"cpu_usage\":\"high\"}", 1008),
    BEATS("a capacity that is a list", "\"backend_capacity\":[]", 1008),
    BEATS("slots that are an object", "\"backend_capacity\":{\"slots\":{}}", 1008),
    BEATS("a slot that is a number", "\"backend_capacity\":{\"slots\":[1]}", 1008),
    BEATS("a slot's model that is a number", SLOT("\"model\":1"), 1008),
    BEATS("a slot's count that is true", SLOT("\"num_running\":true"), 1008),
    BEATS("room for a string", "\"backend_capacity\":{\"max_running\":\"4\"}", 1008),
    CLOSES("a status that is a number", "{\"type\":\"heartbeat\",\"status\":1}", 1008),
    CLOSES("an acceptance of no request", "{\"type\":\"inference_accepted\"}", 1008),
    CLOSES("an acceptance of null", "{\"type\":\"inference_accepted\",\"request_id\":null}", 1008),
    CLOSES("an acceptance of 7", "{\"type\":\"inference_accepted\",\"request_id\":7}", 1008),
    OF("inference_accepted", "a prompt of many", "\"prompt_tokens\":\"many\"", 1008),
    CLOSES("a chunk of no request", "{\"type\":\"inference_response_chunk\"}", 1008),
    OF("inference_response_chunk", "data that is an object", "\"data\":{}", 1008),
    OF("inference_response_chunk", "an envelope that is a string", "\"encrypted_data\":\"x\"",
       1008),
    OF("inference_response_chunk", "an envelope's key that is an object",
       "\"encrypted_data\":{\"ephemeral_public_key\":{},\"ciphertext\":\"\"}", 1008),
    OF("inference_response_chunk", "a ciphertext that is a list",
       "\"encrypted_data\":{\"ephemeral_public_key\":\"$KEY\",\"ciphertext\":[]}", 1008),
    OF("inference_response_chunk", "tokens in a string",
       "\"encrypted_data\":{\"ephemeral_public_key\":\"$KEY\",\"ciphertext\":\"$SEALED\"},"
       "\"tokens\":\"1\"",
       1008),
    OF("inference_response_chunk", "a token and a half",
       "\"encrypted_data\":{\"ephemeral_public_key\":\"$KEY\",\"ciphertext\":\"$SEALED\"},"
       "\"tokens\":1.5",
       1008),
    OF("inference_response_chunk", "2^63 tokens",
       "\"encrypted_data\":{\"ephemeral_public_key\":\"$KEY\",\"ciphertext\":\"$SEALED\"},"
       "\"tokens\":9223372036854775808",
       1008),
    CLOSES("a completion of no request", "{\"type\":\"inference_complete\"}", 1008),
    OF("inference_complete", "usage that is a list", "\"usage\":[]", 1008),
    OF("inference_complete", "usage in strings", "\"usage\":{\"prompt_tokens\":\"80\"}", 1008),
    OF("inference_complete", "usage of 2^63",
       "\"usage\":{\"completion_tokens\":9223372036854775808}", 1008),
    OF("inference_complete", "a signature that is a number", "\"se_signature\":5", 1008),
    CLOSES("an error of no request", "{\"type\":\"inference_error\",\"status_code\":500}", 1008),
    OF("inference_error", "an error that is an object", "\"error\":{\"message\":\"x\"}", 1008),
    OF("inference_error", "a status in a string", "\"status_code\":\"500\"", 1008),
    OF("inference_error", "a code that is a number", "\"code\":5", 1008),
    CLOSES("an answer without a nonce", "{\"type\":\"attestation_response\"}", 1008),
    CLOSES("an answer whose nonce is a number", "{\"type\":\"attestation_response\",\"nonce\":5}",
           1008),
    CLOSES("a posture of no",
           "{\"type\":\"attestation_response\",\"nonce\":\"x\","
           "\"hypervisor_active\":\"no\"}",
           1008),
    CLOSES("model hashes that are a list",
           "{\"type\":\"attestation_response\",\"nonce\":\"x\",\"model_hashes\":[]}", 1008),
    CLOSES("a state of no model", "{\"type\":\"load_model_status\",\"status\":\"started\"}", 1008),
    CLOSES("a state that is a number",
           "{\"type\":\"load_model_status\",\"model_id\":\"x\",\"status\":1}", 1008),
};

/* --- what is ignored --- */

static const struct bad_frame ignored[] = {
    IGNORED("no type", "{\"anything\":1}"),
    IGNORED("a type of null", "{\"type\":null}"),
    IGNORED("an empty type", "{\"type\":\"\"}"),
    IGNORED("an unknown type", "{\"type\":\"novelty\",\"anything\":[1,{\"x\":null}]}"),
    IGNORED("a type in capitals", "{\"type\":\"HEARTBEAT\"}"),
    IGNORED("a type with a blank", "{\"type\":\"heartbeat \"}"),
    IGNORED("a type with a NUL", "{\"type\":\"heartbeat\\u0000\"}"),
    IGNORED("the last of two types", "{\"type\":\"inference_error\",\"request_id\":\"$ID\","
                                     "\"type\":\"novelty\"}"),
    IGNORED("a coordinator's request", "{\"type\":\"inference_request\",\"request_id\":\"$ID\"}"),
    IGNORED("a coordinator's cancel", "{\"type\":\"cancel\",\"request_id\":\"$OTHER\"}"),
    IGNORED("a coordinator's challenge",
            "{\"type\":\"attestation_challenge\",\"nonce\":\"x\",\"timestamp\":\"y\"}"),
    IGNORED("a coordinator's verdict", "{\"type\":\"runtime_status\",\"verified\":true}"),
    IGNORED("a model's state",
            "{\"type\":\"load_model_status\",\"model_id\":\"x\",\"status\":\"succeeded\"}"),
    IGNORED("an answer to no challenge", "{\"type\":\"attestation_response\",\"nonce\":\"x\"}"),
    HARMLESS("a heartbeat of nothing", "{\"type\":\"heartbeat\"}"),
    HARMLESS("nulls", HEARTBEAT(",\"stats\":null,\"system_metrics\":null,\"warm_models\":null")),
    HARMLESS("unknown members", HEARTBEAT(",\"novelty\":{\"a\":[[[[1]]]]}")),
    HARMLESS("counts below zero",
             HEARTBEAT(",\"stats\":{\"requests_served\":-5,\"tokens_generated\":-5},"
                       "\"system_metrics\":{\"memory_pressure\":-1e308,\"cpu_usage\":-1e308},"
                       "\"backend_capacity\":{\"max_running\":-5,\"total_memory_gb\":-1e308,"
                       "\"slots\":[{\"model\":\"" FAKE_MODEL "\",\"num_running\":-5,"
                       "\"num_waiting\":-5,\"active_tokens\":-5,\"max_tokens_potential\":-5}]}")),
    HARMLESS("counts of 2^63 - 1",
             HEARTBEAT(",\"stats\":{\"requests_served\":9223372036854775807},"
                       "\"system_metrics\":{\"memory_pressure\":1e308,\"cpu_usage\":1e308},"
                       "\"backend_capacity\":{\"max_running\":9223372036854775807,"
                       "\"total_memory_gb\":1e308,\"slots\":[{\"model\":\"" FAKE_MODEL "\","
                       "\"num_running\":9223372036854775807,\"num_waiting\":9223372036854775807,"
                       "\"active_tokens\":9223372036854775807,"
                       "\"max_tokens_potential\":9223372036854775807}]}")),
    HARMLESS("counts of -2^63",
             HEARTBEAT(",\"backend_capacity\":{\"max_running\":-9223372036854775808,\"slots\":["
                       "{\"model\":\"" FAKE_MODEL "\",\"num_running\":-9223372036854775808,"
                       "\"active_tokens\":-9223372036854775808}]}")),
    HARMLESS("a slot of a model that nobody knows", HEARTBEAT("," SLOT("\"model\":\"novelty\""))),
};

#define SEND(rows) bad_frames_send(rows, sizeof(rows) / sizeof(rows)[0])

static void before_register_anything_but_a_good_register_closes(void **state)
{
    (void)state;
    SEND(first);
}

static void what_is_no_message_closes(void **state)
{
    (void)state;
    SEND(no_message);
}

static void a_wrong_type_in_a_known_member_closes(void **state)
{
    (void)state;
    SEND(wrong_types);
}

static void what_it_does_not_know_is_ignored_and_numbers_are_bounded(void **state)
{
    (void)state;
    SEND(ignored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_register_anything_but_a_good_register_closes),
        cmocka_unit_test(what_is_no_message_closes),
        cmocka_unit_test(a_wrong_type_in_a_known_member_closes),
        cmocka_unit_test(what_it_does_not_know_is_ignored_and_numbers_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The two messages that carry ciphertext, written around it so that it is not copied again, and the
 * one that comes for each token, inference_response_chunk, read in place. What these write and read
 * is byte for byte what the tables of provider_msg.def do. */
#ifndef DARKBLOOM_PROTO_CHUNK_MSG_H
#define DARKBLOOM_PROTO_CHUNK_MSG_H

#include "proto/provider_msg.h"

/* The exact size of an inference_request whose ciphertext has `ciphertext_n` characters. */
size_t msg_request_size(struct str request_id, struct str public_key, size_t ciphertext_n);
/* Writes the frame into `ret_text` (msg_request_size characters) except the ciphertext, and returns
 * where the ciphertext goes. Neither argument may need escaping. */
char *msg_request_write(struct str request_id, struct str public_key, size_t ciphertext_n,
                        char *ret_text);

/* The exact size of a chunk frame whose ciphertext has `ciphertext_n` characters. `tokens` < 0:
 * omitted. */
size_t msg_chunk_size(struct str request_id, struct str public_key, size_t ciphertext_n,
                      int64_t tokens);
/* Writes the frame into `ret_text` (msg_chunk_size characters) except the ciphertext, and returns
 * where the ciphertext goes. */
char *msg_chunk_write(struct str request_id, struct str public_key, size_t ciphertext_n,
                      int64_t tokens, char *ret_text);

/* Read a frame that looks exactly like that; strings point into it. False: it is another message,
 * or the same one written another way, and the tables decode it. */
bool msg_chunk_read(struct str frame, struct msg_inference_response_chunk *ret_chunk);

#endif

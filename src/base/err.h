/* SPDX-License-Identifier: Apache-2.0 */
/* The one error type. Functions return 0 or a negative ERR_ code; where an operator may read why, a
 * `struct err *` is the last parameter (NULL is allowed and means "not interested"). Libraries
 * return errors, programs log them. */
#ifndef DARKBLOOM_BASE_ERR_H
#define DARKBLOOM_BASE_ERR_H

/* X(name, number, what it means in words). Numbers are stable: they appear in logs. */
#define ERR_TABLE(X)                                           \
    X(NOMEM, 1, "out of memory")                               \
    X(IO, 2, "input or output failed")                         \
    X(AGAIN, 3, "would block")                                 \
    X(CLOSED, 4, "the peer closed the connection")             \
    X(PARSE, 5, "malformed input")                             \
    X(TYPE, 6, "a field has the wrong type")                   \
    X(MISSING, 7, "a required field is missing")               \
    X(RANGE, 8, "a value is out of range")                     \
    X(LIMIT, 9, "a size limit was exceeded")                   \
    X(PROTOCOL, 10, "the peer broke the protocol")             \
    X(CRYPTO, 11, "a signature or ciphertext does not verify") \
    X(DENIED, 12, "not permitted")                             \
    X(NOT_FOUND, 13, "not found")                              \
    X(EXISTS, 14, "already exists")                            \
    X(CONFLICT, 15, "conflicts with an earlier operation")     \
    X(FUNDS, 16, "insufficient funds")                         \
    X(BUSY, 17, "no capacity right now")                       \
    X(TIMEOUT, 18, "timed out")                                \
    X(CANCELLED, 19, "cancelled")                              \
    X(CONFIG, 20, "bad configuration")                         \
    X(STORE, 21, "the store failed")                           \
    X(MODEL, 22, "the model engine failed")                    \
    X(USAGE, 23, "bad command line")                           \
    X(INTERNAL, 24, "an internal rule was broken")

enum err_code {
#define ERR_ENUM(name, number, text) ERR_##name = -(number),
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

struct err {
    int code;       /* 0 or an ERR_ code */
    char text[240]; /* a sentence that names the thing, the limit and the way out */
};

/* The words of a code; "success" for 0 and "unknown error" for a number not in the table. */
const char *err_str(int code);

/* Fill `ret_err` (may be NULL) and return `code`, so that callers write
 * `return err_set(e, ERR_RANGE, "...");`. */
int err_set(struct err *ret_err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and strerror(errno_value) appended. */
int err_errno(struct err *ret_err, int code, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif

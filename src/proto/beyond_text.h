/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may ask for that no engine here gives: pictures, sound, other interfaces. One
 * table: the coordinator passes such requests through, a provider refuses them by name, never drops
 * them in silence. */
#ifndef DARKBLOOM_PROTO_BEYOND_TEXT_H
#define DARKBLOOM_PROTO_BEYOND_TEXT_H

#include "base/str.h"

/* The field's name (constant) when its JSON value asks for more than text, else NULL: also for
 * fields that are unknown, null, or of a value that asks for nothing. */
const char *beyond_text_field(struct str name, struct str value);

#endif

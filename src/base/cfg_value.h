/* SPDX-License-Identifier: Apache-2.0 */
/* One value of one setting: from text or TOML into the settings struct. Private to cfg. */
#ifndef DARKBLOOM_BASE_CFG_VALUE_H
#define DARKBLOOM_BASE_CFG_VALUE_H

#include "base/cfg.h"
#include "base/toml.h"

/* Where a value came from, for messages: "settings.toml line 4", "environment X", "--port". */
struct cfg_origin {
    const char *what;
    int line; /* 0: none */
};

/* Set the field of `key` in the struct at `base` from its text form (default, environment, flag).
 */
int cfg_set_text(const struct cfg_key *key, struct str text, struct cfg_origin from,
                 struct arena *region, void *base, struct err *ret_err);

/* Set it from a TOML value. */
int cfg_set_toml(const struct cfg_key *key, const struct toml_value *v, struct cfg_origin from,
                 struct arena *region, void *base, struct err *ret_err);

/* Append one string to a CFG_LIST field. */
int cfg_list_add(struct cfg_list *list, struct str item, struct arena *region);

/* Append what stands between commas, blanks around items dropped, empty items left out. */
int cfg_list_add_text(struct cfg_list *list, struct str text, struct arena *region);

/* Bytes of a setting's field. */
size_t cfg_size(enum cfg_type type);
/* Whether two fields of that type hold the same value. */
bool cfg_same(enum cfg_type type, const void *a, const void *b);

#endif

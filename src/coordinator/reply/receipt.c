/* SPDX-License-Identifier: Apache-2.0 */
/* The receipt: who served, how far it is trusted, what it cost and where the time went. */
#include "coordinator/flow/flow.h"
#include "proto/shape.h"

int reply_receipt_append(const struct request *r, struct buf *out)
{
    int rc = buf_printf(out,
                        "\"receipt\":{\"request_id\":\"%s\",\"provider_id\":\"%s\","
                        "\"trust_level\":\"%s\",\"cost_micro_usd\":%lld,\"timing\":",
                        r->id, r->provider_id, trust_name(r->trust), (long long)r->cost_micro_usd);

    if (rc == 0)
        rc = reply_timing_append(r, out);
    if (rc == 0)
        rc = buf_append_str(out, STR("}"));
    if (rc == 0 && r->se_signature.n > 0) {
        rc = buf_append_str(out, STR(",\"se_signature\":"));
        if (rc == 0)
            rc = json_append_str(out, r->se_signature);
    }
    if (rc == 0 && r->response_hash.n > 0) {
        rc = buf_append_str(out, STR(",\"response_hash\":"));
        if (rc == 0)
            rc = json_append_str(out, r->response_hash);
    }
    return rc;
}

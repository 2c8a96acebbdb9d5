/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's periodic ledger operations, each reused from tick to tick. */
#ifndef DARKBLOOM_COORDINATOR_FLOW_CHECKPOINT_H
#define DARKBLOOM_COORDINATOR_FLOW_CHECKPOINT_H

#include "ledger/ledger.h"

struct checkpoints {
    struct coord *coord;
    struct ledger_checkpoint op;
    bool busy; /* in the store's hands */
};

struct coord_sweep {
    struct ledger_sweep sweep;
    struct coord *coord;
    bool busy;
};

#endif

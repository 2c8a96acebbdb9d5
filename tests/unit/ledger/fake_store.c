/* SPDX-License-Identifier: Apache-2.0 */
/* The store's fixture serves the ledger's tests as well. */
#include "unit/store/fake_store.c"

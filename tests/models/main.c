/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "random_model.h"

int main(int argc, char **argv)
{
    const char *why = "";

    if (argc != 4) {
        fprintf(stderr, "Usage: make-model llama-8b|llama-1b|tiny q4_0|q8_0|f16|… FILE.gguf\n");
        return 2;
    }
    if (random_model_write(argv[1], argv[2], argv[3], &why) == 0)
        return 0;
    fprintf(stderr, "make-model: %s: %s\n", argv[3], why);
    return 1;
}

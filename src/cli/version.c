/* SPDX-License-Identifier: Apache-2.0 */
/* `darkbloom version` */
#include <stdio.h>

#include "cli/command.h"

int cmd_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    (void)printf("darkbloom %s\n", DARKBLOOM_VERSION);
    return EXIT_DONE;
}

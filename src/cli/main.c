/* SPDX-License-Identifier: Apache-2.0 */
/* `darkbloom`: the provider's and the consumer's command line. */
#include "cli/command.h"

int main(int argc, char **argv)
{
    return command_main(argc, argv);
}

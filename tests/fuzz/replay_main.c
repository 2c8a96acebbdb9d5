/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files and directories of inputs, so that every build, also one without
 * libFuzzer, replays the corpus. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "re");
    uint8_t *data;
    struct stat st;
    size_t n;

    if (!f || fstat(fileno(f), &st) < 0) {
        perror(path);
        exit(1);
    }
    data = malloc((size_t)st.st_size + 1);
    if (!data)
        exit(1);
    n = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    (void)LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 1;
}

static int replay(const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    int count = 0;

    if (n < 0)
        return replay_file(path);
    for (int i = 0; i < n; i++) {
        char file[4096];

        if (names[i]->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
            count += replay_file(file);
        }
        free(names[i]);
    }
    free(names);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}

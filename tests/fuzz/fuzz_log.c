/* A service's log is any bytes: the scan ends, and its answer lies within the log and within its
 * own fixed texts. */
#include "service/engine.h"
#include "service/engine_placement.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct signature_match *match, const char *log, size_t size)
{
    if (!match->signature || match->line_start > size || match->line_len > size - match->line_start)
        abort();
    if (memchr(log + match->line_start, '\n', match->line_len))
        abort();
    if (strnlen(match->number, sizeof match->number) == sizeof match->number ||
        strnlen(match->flag, sizeof match->flag) == sizeof match->flag)
        abort();
    if (match->number_count < 0 || match->number_count > (int)ARRAY_LEN(match->numbers) ||
        strnlen(match->hint, sizeof match->hint) == sizeof match->hint)
        abort();
    for (int i = 0; i < match->number_count; i++)
        if (strnlen(match->numbers[i], sizeof match->numbers[i]) == sizeof match->numbers[i])
            abort();
}

/* What it says of where it computes: never that it is the GPU, and words that end. */
static void check_placement(const char *log, size_t size)
{
    char words[40];
    enum placement said = engine_placement(NULL, log, size, words, sizeof words);
    if (said == PLACEMENT_GPU || strnlen(words, sizeof words) == sizeof words)
        abort();
    said = engine_placement_loaded(log, size, NULL, words, sizeof words);
    if (said == PLACEMENT_GPU || strnlen(words, sizeof words) == sizeof words)
        abort();
    (void)engine_models_list(log, size, "llm");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that the sanitizer sees a read behind its end. */
    char *log = malloc(size ? size : 1);
    if (!log)
        abort();
    if (size)
        memcpy(log, data, size);
    struct signature_match match;
    if (signature_scan(NULL, log, size, &match))
        check(&match, log, size);
    for (size_t i = 0; i < engine_count; i++)
        if (signature_scan(engine_table[i]->signatures, log, size, &match))
            check(&match, log, size);
    check_placement(log, size);
    free(log);
    return 0;
}

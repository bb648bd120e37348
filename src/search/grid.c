/* grid and random: every candidate of the field once, at full length. The grid takes the whole
 * space in order of codes (arranged for few restarts), random a seeded draw; a limit on trials cuts
 * both short, which for a grid leaves a corner unseen: the report says how many were not tried. */
#include "search/search.h"

#include <string.h>

struct walk {
    spec_code *field;
    size_t count, done;
};

static size_t planned(const struct search_input *input)
{
    return input->trials && input->trials < input->code_count ? input->trials : input->code_count;
}

static void *grid_begin(const struct search_input *input, struct arena *arena)
{
    struct walk *walk = arena_alloc(arena, sizeof *walk);
    walk->count = planned(input);
    walk->field = arena_array(arena, input->code_count, sizeof *walk->field);
    if (input->code_count)
        memcpy(walk->field, input->codes, input->code_count * sizeof *walk->field);
    search_arrange(input->study, walk->field, input->code_count, arena);
    return walk;
}

static void *random_begin(const struct search_input *input, struct arena *arena)
{
    struct walk *walk = arena_alloc(arena, sizeof *walk);
    walk->count = search_field(input, "random", input->trials, arena, &walk->field);
    return walk;
}

static bool ask(const void *session, struct search_request *ret_request)
{
    const struct walk *walk = session;
    if (walk->done >= walk->count)
        return false;
    *ret_request =
        (struct search_request){.code = walk->field[walk->done], .round = 1, .window_ratio = 1};
    return true;
}

static void tell(void *session, const struct search_result *result)
{
    struct walk *walk = session;
    (void)result; /* neither learns */
    walk->done++;
}

const struct search_strategy search_grid = {
    .name = "grid",
    .help = "every candidate once, in order",
    .begin = grid_begin,
    .ask = ask,
    .tell = tell,
    .planned = planned,
};

const struct search_strategy search_random = {
    .name = "random",
    .help = "a seeded draw of candidates, each once",
    .begin = random_begin,
    .ask = ask,
    .tell = tell,
    .planned = planned,
};

/* grid and random: every candidate of the field once, at full length. The grid takes the whole space
 * in order of codes (arranged for few restarts), random a seeded draw; a limit on trials cuts both
 * short, which for a grid leaves a corner unseen: the report says how many were not tried. */
#include "search/search.h"

static bool next_of(const struct search_input *input, const spec_code *field, size_t count,
                    struct search_request *ret_request)
{
    size_t done = input->history_count;
    if (done >= count || (input->trials && done >= input->trials))
        return false;
    *ret_request = (struct search_request){.code = field[done], .round = 1, .window_ratio = 1};
    return true;
}

static bool grid_next(const struct search_input *input, struct arena *scratch,
                      struct search_request *ret_request)
{
    spec_code *field = arena_array(scratch, input->code_count + 1, sizeof *field);
    for (size_t i = 0; i < input->code_count; i++)
        field[i] = input->codes[i];
    search_arrange(input->study, field, input->code_count, scratch);
    return next_of(input, field, input->code_count, ret_request);
}

static bool random_next(const struct search_input *input, struct arena *scratch,
                        struct search_request *ret_request)
{
    spec_code *field;
    size_t count = search_field(input, "random", input->trials, scratch, &field);
    return next_of(input, field, count, ret_request);
}

static size_t planned(const struct search_input *input)
{
    return input->trials && input->trials < input->code_count ? input->trials : input->code_count;
}

const struct search_strategy search_grid = {
    .name = "grid",
    .help = "every candidate once, in order",
    .next = grid_next,
    .planned = planned,
};

const struct search_strategy search_random = {
    .name = "random",
    .help = "a seeded draw of candidates, each once",
    .next = random_next,
    .planned = planned,
};

/* All that one load names, loaded together: what a trace means depends on the clips and prompts
 * that are there, and that nothing is missing can only be said of the whole. */
#include "load/corpus_file.h"

#include "base/text.h"
#include "spec/study.h"

#include <string.h>

/* Files of a mix behind each other, each a class. */
static bool load_mix(struct arena *arena, const struct spec_shape *shape, struct corpus *corpus,
                     struct err *err)
{
    struct corpus parts[SPEC_MIX_MAX] = {0};
    size_t total = 0;
    for (size_t i = 0; i < shape->mix_count; i++) {
        if (!corpus_load_prompts(arena, shape->mix[i].path, &parts[i], err))
            return false;
        total += parts[i].prompt_count;
    }
    corpus->prompts = arena_array(arena, total, sizeof *corpus->prompts);
    corpus->classes = arena_array(arena, shape->mix_count, sizeof *corpus->classes);
    for (size_t i = 0; i < shape->mix_count; i++) {
        memcpy(corpus->prompts + corpus->prompt_count, parts[i].prompts,
               parts[i].prompt_count * sizeof *corpus->prompts);
        corpus->classes[corpus->class_count++] = (struct corpus_class){
            corpus->prompt_count, parts[i].prompt_count, shape->mix[i].weight};
        corpus->prompt_count += parts[i].prompt_count;
    }
    return true;
}

struct number_reading {
    double *values; /* owned while reading */
    size_t count, cap;
};

static bool take_number(void *ctx, const char *line, size_t len, struct err *err)
{
    struct number_reading *r = ctx;
    AUTO(free) char *text = strndup(line, len);
    double value = 0;
    if (!text || !text_to_double(text, &value) || !(value >= 1 && value <= SPEC_TOKENS_MAX))
        return err_set(err, ERR_INPUT, "wants one number from 1 to %d", SPEC_TOKENS_MAX);
    if (r->count == CORPUS_MAX_ITEMS)
        return err_set(err, ERR_INPUT, "more than %d numbers", CORPUS_MAX_ITEMS);
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 256;
        double *grown = realloc(r->values, r->cap * sizeof *grown);
        if (!grown)
            abort();
        r->values = grown;
    }
    r->values[r->count++] = value;
    return true;
}

static bool load_numbers(struct arena *arena, const struct spec_spread *spread,
                         struct corpus_numbers *ret_numbers, struct err *err)
{
    if (spread->kind != SPREAD_FILE)
        return true;
    struct number_reading r = {0};
    bool good = corpus_lines(spread->file, take_number, &r, err);
    if (good && r.count == 0)
        good = err_set(err, ERR_INPUT, "%s: holds no number", spread->file);
    if (good) {
        ret_numbers->values = arena_array(arena, r.count, sizeof *r.values);
        memcpy(ret_numbers->values, r.values, r.count * sizeof *r.values);
        ret_numbers->count = r.count;
    }
    free(r.values);
    return good;
}

/* Text that is neither in the trace nor beside it can't be sent. */
static bool check_trace(const struct spec_load *load, const struct corpus *corpus,
                        size_t own_prompts, struct err *err)
{
    bool beside = load->corpus || own_prompts > 0 || load->shape.prompt_tokens.kind != SPREAD_NONE;
    for (size_t i = 0; !beside && i < corpus->trace_count; i++)
        if (corpus->trace[i].prompt == CORPUS_NO_ITEM && corpus->trace[i].prompt_tokens == 0)
            return err_set(err, ERR_INPUT,
                           "%s: request %zu has neither \"input_length\" nor \"prompt\", and the "
                           "load has no \"prompts\" or \"prompt_tokens\"",
                           load->shape.trace, i + 1);
    return true;
}

bool corpus_load(struct arena *arena, const char *where, const struct spec_load *load,
                 struct corpus *ret_corpus, struct err *err)
{
    const struct spec_shape *shape = &load->shape;
    struct corpus corpus = {0};
    if (load->corpus && !corpus_load_audio(arena, load->corpus, &corpus, err))
        return err_wrap(err, "%scorpus", where);
    if (load->prompts && !corpus_load_prompts(arena, load->prompts, &corpus, err))
        return err_wrap(err, "%sprompts", where);
    if (shape->mix_count > 0 && !load_mix(arena, shape, &corpus, err))
        return err_wrap(err, "%sprompts", where);
    if (!load_numbers(arena, &shape->prompt_tokens, &corpus.prompt_lengths, err))
        return err_wrap(err, "%sprompt_tokens", where);
    if (!load_numbers(arena, &shape->output_tokens, &corpus.output_lengths, err))
        return err_wrap(err, "%soutput_tokens", where);
    if (!load_numbers(arena, &shape->turns, &corpus.turn_counts, err))
        return err_wrap(err, "%sturns", where);
    size_t own_prompts = corpus.prompt_count;
    if (shape->trace && (!corpus_load_trace(arena, shape->trace, &corpus, err) ||
                         !check_trace(load, &corpus, own_prompts, err)))
        return err_wrap(err, "%strace", where);
    *ret_corpus = corpus;
    return true;
}

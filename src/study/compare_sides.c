/* What a person types for a side, as a whole candidate.
 *
 * People think in differences ("the same with tiny.en"), so a text that leaves knobs out is
 * completed: from what runs today, which is the baseline, or, where none is given, from the winner.
 * Which of the two it was is always said. Rejected: completing with each knob's first value, which
 * is a candidate that nobody meant. */
#include "study/compare_inside.h"

#include <string.h>

static bool from_indexes(const struct spec_study *study, const int *index,
                         struct spec_candidate *ret)
{
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        ret->index[i] = i < study->knob_count ? index[i] : -1;
    return true;
}

/* What a partial text starts from. */
static bool find_base(const struct spec_study *study, const char *winner,
                      struct spec_candidate *ret, const char **ret_name)
{
    struct err ignored = ERR_INIT;
    if (study->baseline) {
        *ret_name = "baseline";
        return from_indexes(study, study->baseline, ret);
    }
    *ret_name = winner ? "winner" : NULL;
    return winner && spec_candidate_parse(study, winner, ret, &ignored);
}

/* One KNOB=VALUE over the base: read alone, it can't be checked for what it does with others. */
static bool put_part(const struct spec_study *study, const char *part, struct spec_candidate *into,
                     bool *named, struct err *err)
{
    const char *equals = strchr(part, '=');
    if (!equals)
        return err_set(err, ERR_INPUT,
                       "\"%.100s\": neither winner, baseline nor KNOB=VALUE (as in "
                       "\"stt.model=base\")",
                       part);
    AUTO(buf_done) struct buf name = BUF_INIT(1024);
    if (!buf_append(&name, part, (size_t)(equals - part)))
        return err_set(err, ERR_INPUT, "\"%.100s\": too long", part);
    int knob = spec_study_knob(study, buf_text(&name));
    const struct spec_knob *k = knob < 0 ? NULL : &study->knobs[knob];
    for (size_t i = 0; k && i < k->value_count; i++) {
        if (strcmp(k->values[i].label, equals + 1) != 0)
            continue;
        if (named[knob])
            return err_set(err, ERR_INPUT, "%s is given twice", k->full_name);
        named[knob] = true;
        into->index[knob] = (int)i;
        return true;
    }
    struct spec_candidate unused; /* for its words: what there is, and what is near */
    if (!spec_candidate_parse(study, part, &unused, err))
        return false;
    return err_set(err, ERR_INPUT, "\"%.100s\" is no setting", part);
}

static bool read_parts(const struct spec_study *study, const char *text,
                       struct spec_candidate *into, bool *named, struct err *err)
{
    for (const char *at = text + strspn(text, " "); *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        AUTO(buf_done) struct buf part = BUF_INIT(4096);
        if (!buf_append(&part, at, len))
            return err_set(err, ERR_INPUT, "\"%.40s...\": too long", at);
        if (!put_part(study, buf_text(&part), into, named, err))
            return false;
        at += len;
    }
    return true;
}

static bool complete(const struct spec_study *study, const char *winner, const char *text,
                     struct spec_candidate *ret, const char **ret_completed, struct err *err)
{
    bool named[SPEC_KNOBS_MAX] = {false};
    struct spec_candidate candidate;
    const char *base = NULL;
    bool found = find_base(study, winner, &candidate, &base);
    if (!found)
        from_indexes(study, (const int[SPEC_KNOBS_MAX]){0}, &candidate);
    if (!read_parts(study, text, &candidate, named, err))
        return false;
    bool partial = false;
    for (size_t i = 0; i < study->knob_count; i++) {
        if (!named[i] && !found)
            candidate.index[i] = -1;
    }
    if (!spec_candidate_check(study, &candidate, err))
        return found || err_wrap(err, "there is no baseline or winner to complete it from");
    for (size_t i = 0; i < study->knob_count; i++) {
        partial = partial || (!named[i] && candidate.index[i] >= 0);
        if (named[i] && candidate.index[i] < 0)
            return err_set(err, ERR_INPUT, "%s does nothing here", study->knobs[i].full_name);
    }
    *ret = candidate;
    *ret_completed = partial ? base : NULL;
    return true;
}

static bool read_candidate(const struct spec_study *study, const char *winner, const char *given,
                           struct spec_candidate *ret, const char **ret_completed, struct err *err)
{
    *ret_completed = NULL;
    if (strcmp(given, "baseline") == 0) {
        if (!study->baseline)
            return err_set(err, ERR_INPUT, "%s names no baseline", study->path);
        return from_indexes(study, study->baseline, ret) && spec_candidate_check(study, ret, err);
    }
    if (strcmp(given, "winner") != 0)
        return complete(study, winner, given, ret, ret_completed, err);
    if (!winner)
        return err_set(err, ERR_INPUT, "this study has no winner yet; see: spica run %s",
                       study->path);
    return spec_candidate_parse(study, winner, ret, err);
}

bool study_compare_read_side(const struct spec_study *study, const char *winner, const char *given,
                             struct arena *arena, struct compare_side *side, struct err *err)
{
    struct spec_candidate candidate;
    const char *completed = NULL;
    if (!read_candidate(study, winner, given, &candidate, &completed, err))
        return err_wrap(err, "\"%.200s\"", given);
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, study, &candidate);
    *side = (struct compare_side){
        .given = arena_strdup(arena, given),
        .text = arena_strdup(arena, buf_text(&text)),
        .completed = completed,
        .code = spec_candidate_code(study, &candidate),
    };
    return true;
}

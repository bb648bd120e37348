/* The candidates of a study: one value per knob. A candidate is stored as one 64-bit code (mixed
 * radix over "inactive or value i" of each knob, first knob the highest digit; "inactive" only
 * where the knob has a condition), so a million of them cost 8 MB, and equal candidates have equal
 * codes.
 *
 * A knob whose `when` is not true is inactive (index -1); a constraint that comes out unknown
 * because it names an inactive knob does not apply. */
#pragma once

#include "spec/study.h"

typedef uint64_t spec_code;
enum { SPEC_KNOBS_MAX = 64 };

struct spec_candidate {
    int index[SPEC_KNOBS_MAX]; /* value index per knob, -1: inactive */
};

/* Calls `visit` for every feasible candidate in order of codes; stops early when it returns false.
 * Subtrees are cut as soon as a constraint's last knob is decided. */
typedef bool (*spec_visit)(void *context, spec_code code);
void spec_space_each(const struct spec_study *study, spec_visit visit, void *context);

/* Exact number of feasible candidates, without listing those that no constraint or condition can
 * tell apart. UINT64_MAX: gave up after 10^7 steps (seconds; a constraint over very many
 * knobs). */
uint64_t spec_space_count(const struct spec_study *study);
/* Product of all knobs' value counts, before conditions and constraints; saturates at
 * UINT64_MAX. */
uint64_t spec_space_combinations(const struct spec_study *study);

/* All feasible codes, ascending; the caller frees *ret_codes. ERR_LIMIT above `max`. */
NODISCARD bool spec_space_list(const struct spec_study *study, uint64_t max, spec_code **ret_codes,
                               size_t *ret_count, struct err *err);

spec_code spec_candidate_code(const struct spec_study *study,
                              const struct spec_candidate *candidate);
struct spec_candidate spec_candidate_decode(const struct spec_study *study, spec_code code);

/* Active or not is recomputed; false when a constraint is violated, naming it in err. */
NODISCARD bool spec_candidate_check(const struct spec_study *study,
                                    struct spec_candidate *candidate, struct err *err);

/* Index of a knob's value as written, or of the same number written otherwise ("0.50" for 0.5); -1.
 */
int spec_knob_find_value(const struct spec_knob *knob, const char *label);
/* Value of a knob, or NULL when inactive. */
const struct spec_value *spec_candidate_value(const struct spec_study *study,
                                              const struct spec_candidate *candidate, size_t knob);

/* "stt.model=base stt.threads=2 llm.threads=1": stable text, used as the key in the store. */
void spec_candidate_add_text(struct buf *buf, const struct spec_study *study,
                             const struct spec_candidate *candidate);
/* The reverse; names what is wrong. */
NODISCARD bool spec_candidate_parse(const struct spec_study *study, const char *text,
                                    struct spec_candidate *ret_candidate, struct err *err);

/* The part of the text that belongs to one service: two candidates with equal parts need no restart
 * of that service. */
void spec_candidate_add_service_text(struct buf *buf, const struct spec_study *study,
                                     const struct spec_candidate *candidate, size_t service);

/* Which engine this candidate uses for a service (NULL for `command` services), and the protocol
 * and ready path that follow. */
const struct spec_engine_use *spec_candidate_engine(const struct spec_study *study,
                                                    const struct spec_candidate *candidate,
                                                    size_t service);
const struct spec_protocol *spec_candidate_protocol(const struct spec_study *study,
                                                    const struct spec_candidate *candidate,
                                                    size_t service);

/* Index into the study's devices of where this candidate puts the service. */
size_t spec_candidate_device(const struct spec_study *study, const struct spec_candidate *candidate,
                             size_t service);

/* `NAME: "{NAME}"` of a service's environment, and no knob of that name: ours is handed on. */
bool spec_setting_hands_on(const struct spec_study *study, size_t service,
                           const struct spec_setting *setting);

/* A setting's text with its placeholders filled in; false when it is to be left out (a knob value
 * of null, or an inactive knob). `port` and `scratch` as described at struct spec_setting. */
bool spec_setting_expand(const struct spec_study *study, const struct spec_candidate *candidate,
                         size_t service, const char *text, int port, const char *scratch,
                         struct buf *ret_text);

/* A trial compares the room that it left with the most that neighbours were seen to hold until
 * then. Two moments need the stored trials: a study that goes on after a stop would forget the most
 * of before, and neighbours that grew after the last run of a winner's final were not yet known to
 * those runs.
 *
 * At the end nothing is repaired: who would win instead is not known when the room of all has
 * changed, and the winner once more beside them would leave the room that it left. The study is
 * not decided, and the words say why. Some MiB more or less are not that: programs that stay are
 * never of one size.
 *
 * Rejected: the amount stated in the study file. People do not know it, and a neighbour that
 * restarts holds another amount. */
#include "study/beside.h"

#include "base/text.h"
#include "spec/verdict.h"
#include "store/read.h"

#include <math.h>
#include <string.h>

static const double MOVED_BYTES = 256 << 20; /* as trial/beside.c: no change of the situation */

static double most_of(const struct store_trial *trials, size_t count, const char *device)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < trials[i].reading_count; r++) {
            const struct store_reading *reading = &trials[i].readings[r];
            bool theirs = strcmp(reading->name, "neighbours") == 0 ||
                          strcmp(reading->name, "neighbours, most") == 0;
            if (theirs && reading->device && strcmp(reading->device, device) == 0 &&
                reading->value > most)
                most = reading->value;
        }
    return most;
}

bool study_beside_most(struct store *store, const struct spec_study *study, struct arena *arena,
                       const double **ret_most, struct err *err)
{
    double *most = arena_array(arena, study->device_count, sizeof *most);
    struct store_trial *trials = NULL;
    size_t count = 0;
    if (store && study->neighbour_count > 0 &&
        !store_read_trials(store, arena, true, &trials, &count, err))
        return err_wrap(err, "looking up what neighbours held");
    for (size_t d = 0; d < study->device_count; d++)
        most[d] = most_of(trials, count, study->devices[d]);
    *ret_most = most;
    return true;
}

static bool is_counted(const struct store_trial *trial, const char *candidate)
{
    return strcmp(trial->purpose, "final") == 0 &&
           strcmp(trial->verdict, verdict_facts(VERDICT_OK)->name) == 0 &&
           strcmp(trial->candidate, candidate) == 0;
}

/* The least that it left on the device, free or to them; NaN: not known. */
static double room_of(const struct store_trial *trials, size_t count, const char *candidate,
                      const char *device)
{
    double least = NAN;
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; is_counted(&trials[i], candidate) && r < trials[i].reading_count; r++) {
            const struct store_reading *reading = &trials[i].readings[r];
            if (strcmp(reading->name, "left to neighbours") == 0 && reading->device &&
                strcmp(reading->device, device) == 0 && !(least <= reading->value))
                least = reading->value;
        }
    return least;
}

const char *study_beside_lacks(const json_t *decision, const struct store_trial *trials,
                               size_t count, const char *const *devices, size_t device_count,
                               struct arena *arena)
{
    const char *winner = json_get_text(decision, "winner");
    for (size_t d = 0; winner && d < device_count; d++) {
        double most = most_of(trials, count, devices[d]);
        double room = room_of(trials, count, winner, devices[d]);
        if (!(most - room > MOVED_BYTES))
            continue;
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        buf_addf(&text, "declared neighbours have held ");
        text_add_bytes(&text, most);
        buf_addf(&text, " on %s, and %s, which would win, left ", devices[d],
                 *winner ? winner : "the baseline");
        text_add_bytes(&text, room);
        buf_add(&text, " to them");
        return arena_strdup(arena, buf_text(&text));
    }
    return NULL;
}

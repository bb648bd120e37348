/* Random sequences of promoting, killing, rolling back, editing by hand and units that systemd
 * starts again by itself, against a model that knows only this: production is whole, old or new,
 * and nobody's text is lost. Seeded: "SPICA_TEST_SEED=n" plays another one, and a failure names its
 * sequence. */
#include "stage.h"

#include "promote/journal.h"

#include "base/rng.h"

#include <sys/wait.h>

enum { SEQUENCES = 200, ACTIONS = 12, EDITS_MAX = 32, TEXT = 32, KILL_WITHIN = 70 };

static struct stage stage;
static const char *const files[STAGE_COUNT] = {"a.env", "b.service.d/10-spica.conf"};
static const char *const running[STAGE_COUNT] = {"running.a", "running.b"};

struct production { /* "" is: not there */
    char file[STAGE_COUNT][TEXT], running[STAGE_COUNT][TEXT], command[TEXT];
};

struct model {
    struct rng rng;
    int sequence, action, texts; /* for messages; texts so far */
    struct production old, new;  /* of the last promotion that was begun */
    bool edited[STAGE_COUNT];    /* by hand, and no process was started with it by us */
    char edits[EDITS_MAX][TEXT]; /* by hand, on files that a promotion was about to change */
    size_t edit_count;
};

#define SAY(m, condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("sequence %d, action %d: %s (%s)", (m)->sequence, (m)->action, #condition,    \
                     stage.trace);                                                                 \
    } while (0)

static void read_into(const char *name, char ret_text[TEXT])
{
    AUTO(free) char *text = stage_read(&stage, name);
    snprintf(ret_text, TEXT, "%s", text ? text : "");
}

static struct production look(void)
{
    struct production now = {.command = ""};
    for (int i = 0; i < STAGE_COUNT; i++) {
        read_into(files[i], now.file[i]);
        read_into(running[i], now.running[i]);
    }
    read_into("command", now.command);
    return now;
}

static struct promote_journal *read_journal(const struct model *m)
{
    AUTO(free) char *path = promote_journal_path(stage.results);
    struct promote_journal *journal = NULL;
    struct err err = ERR_INIT;
    SAY(m, promote_journal_read(path, &journal, &err)); /* never half a journal */
    return journal;
}

/* What the process was started with is what its file says, but for what was written by hand. */
static void check_whole(const struct model *m, const struct production *wanted)
{
    struct production now = look();
    for (int i = 0; i < STAGE_COUNT; i++) {
        SAY(m, strcmp(now.file[i], wanted->file[i]) == 0);
        SAY(m, m->edited[i] || strcmp(now.running[i], now.file[i]) == 0);
    }
    SAY(m, strcmp(now.command, wanted->command) == 0);
    SAY(m, stage_litter(&stage) == 0);
}

/* Another text each time, so that each can be found again. */
static void new_text(struct model *m, const char *kind, char ret_text[TEXT])
{
    snprintf(ret_text, TEXT, "%s %d", kind, m->texts++);
}

struct act {
    bool apply, stale; /* else: undo; somebody edits between plan and applying */
    const char *text;
};

/* In the child: 0 done, 1 rolled back, 2 incomplete, 10 + code of an error. */
static int do_act(const struct act *act)
{
    struct promote_hands hands = stage_hands(&stage);
    struct promote_result result;
    struct err err = ERR_INIT;
    bool good = false;
    if (act->apply) {
        struct promote_plan *plan = stage_plan(&stage, act->text);
        if (act->stale)
            stage_write(&stage, files[STAGE_A], "stale");
        good = promote_apply_by(&hands, plan, stage.results, "me", NULL, &result, &err);
    } else {
        good = promote_undo_by(&hands, stage.results, "me", "again", (struct promote_accept){0},
                               NULL, &result, &err);
    }
    return good ? (int)result.outcome : 10 + (int)err.code;
}

static int play(const struct model *m, const struct act *act, const struct stage *wrong)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        stage.die_at = wrong->die_at;
        stage.verify_fails = wrong->verify_fails;
        stage.restart_fails = wrong->restart_fails;
        _exit(do_act(act));
    }
    SAY(m, waitpid(child, &status, 0) == child);
    SAY(m, WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- actions --- */

static void started_anew(struct model *m)
{
    m->edited[STAGE_A] = m->edited[STAGE_B] = false;
}

static void forget_approved(struct model *m, const struct production *seen)
{
    size_t kept = 0;
    for (size_t k = 0; k < m->edit_count; k++) {
        bool planned = false;
        for (int i = 0; i < STAGE_COUNT; i++)
            planned = planned || strcmp(seen->file[i], m->edits[k]) == 0;
        if (!planned)
            memcpy(m->edits[kept++], m->edits[k], TEXT);
    }
    m->edit_count = kept;
}

static void promote(struct model *m)
{
    struct promote_journal *before = read_journal(m);
    bool pending = before && promote_journal_is_pending(before);
    promote_journal_free(before);
    char text[TEXT];
    new_text(m, "plan", text);
    struct production old = look(), new = {.command = ""};
    for (int i = 0; i < STAGE_COUNT; i++) {
        snprintf(new.file[i], TEXT, "%s", text);
        snprintf(new.running[i], TEXT, "%s", text);
    }
    snprintf(new.command, TEXT, "%s", text);
    if (!pending)
        forget_approved(m, &old); /* the plan shows them, and is approved */
    struct act act = {.apply = true, .text = text};
    struct stage wrong = {.verify_fails = rng_below(&m->rng, 4) == 0,
                          .restart_fails = rng_below(&m->rng, 6) == 0 ? 2 : 0,
                          .die_at =
                              rng_below(&m->rng, 2) ? 1 + (int)rng_below(&m->rng, KILL_WITHIN) : 0};
    int end = play(m, &act, &wrong);
    if (pending) { /* nothing may happen before that is cleared up */
        struct production now = look();
        SAY(m, end == 10 + ERR_DECLINED && memcmp(&now, &old, sizeof now) == 0);
        return;
    }
    SAY(m, end == PROMOTE_PROMOTED || end == PROMOTE_ROLLED_BACK || end == STAGE_KILLED);
    AUTO(promote_journal_free) struct promote_journal *journal = read_journal(m);
    bool ours = journal && strcmp(journal->plan->winner_text, text) == 0;
    if (!ours) { /* killed before the journal told of it */
        SAY(m, end == STAGE_KILLED);
        check_whole(m, &old);
        return;
    }
    m->old = old;
    m->new = new;
    if (journal->state == PROMOTE_DONE) {
        SAY(m, end != PROMOTE_ROLLED_BACK);
        started_anew(m);
        check_whole(m, &new);
    } else if (!promote_journal_is_pending(journal)) {
        SAY(m, end != PROMOTE_PROMOTED);
        check_whole(m, &old);
    }
}

/* Moved away by who wrote it, as the message asks: rename it to where it is found again. */
static void move_away(const struct model *m)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        AUTO(free) char *aside = NULL;
        char now[TEXT];
        read_into(files[i], now);
        if (strcmp(now, m->new.file[i]) != 0 && strcmp(now, m->old.file[i]) != 0 &&
            asprintf(&aside, "%s/moved-%d-%d-%d", stage.folder, m->sequence, m->action, i) > 0)
            SAY(m, rename(stage.paths[i], aside) == 0 || !now[0]);
    }
}

/* Of a promotion that was killed, a file that it had not come to may be somebody's by now. */
static void check_old(struct model *m)
{
    struct production now = look(), wanted = m->old;
    for (int i = 0; i < STAGE_COUNT; i++)
        for (size_t k = 0; k < m->edit_count; k++)
            if (strcmp(now.file[i], m->edits[k]) == 0 && strcmp(wanted.file[i], now.file[i]) != 0) {
                snprintf(wanted.file[i], TEXT, "%s", now.file[i]);
                m->edited[i] = true;
            }
    check_whole(m, &wanted);
}

static void roll_back(struct model *m, bool may_be_killed)
{
    AUTO(promote_journal_free) struct promote_journal *before = read_journal(m);
    struct act act = {.apply = false};
    struct stage wrong = {.die_at = may_be_killed && rng_below(&m->rng, 2)
                                        ? 1 + (int)rng_below(&m->rng, KILL_WITHIN)
                                        : 0};
    int end = play(m, &act, &wrong);
    if (end == 10 + ERR_MISSING) {
        SAY(m, !before || before->state == PROMOTE_UNDONE);
        return;
    }
    if (end == 10 + ERR_DECLINED) {
        SAY(m, before && before->state == PROMOTE_DONE);
        move_away(m);
        end = play(m, &act, &wrong);
    }
    SAY(m, end == PROMOTE_ROLLED_BACK || end == STAGE_KILLED);
    AUTO(promote_journal_free) struct promote_journal *after = read_journal(m);
    if (after && after->state == PROMOTE_UNDONE && end == PROMOTE_ROLLED_BACK)
        check_old(m);
}

static void edit(struct model *m)
{
    int unit = (int)rng_below(&m->rng, STAGE_COUNT);
    char text[TEXT];
    struct production now = look();
    if (m->edit_count == EDITS_MAX || (unit == STAGE_B && !now.file[unit][0]))
        return; /* a drop-in of ours that is not there is not edited */
    new_text(m, "hand", text);
    /* Who edits his own text again means to lose it. */
    if (m->edit_count > 0 && strcmp(now.file[unit], m->edits[m->edit_count - 1]) == 0)
        m->edit_count--;
    else if (strncmp(now.file[unit], "hand", 4) == 0)
        return;
    snprintf(m->edits[m->edit_count++], TEXT, "%s", text);
    stage_write(&stage, files[unit], text);
    m->edited[unit] = true;
}

/* The crash reads what is there, so for us it counts as an edit's start. */
static void crash(struct model *m)
{
    stage_crash(&stage, (int)rng_below(&m->rng, STAGE_COUNT));
}

static void stale(struct model *m)
{
    AUTO(promote_journal_free) struct promote_journal *journal = read_journal(m);
    struct production now = look();
    if ((journal && journal->state != PROMOTE_UNDONE) || strncmp(now.file[STAGE_A], "hand", 4) == 0)
        return;
    struct act act = {.apply = true, .stale = true, .text = "never"};
    struct stage wrong = {.die_at = 0};
    SAY(m, play(m, &act, &wrong) == 10 + ERR_DECLINED);
    struct production then = look();
    SAY(m, strcmp(then.file[STAGE_A], "stale") == 0);
    SAY(m, strcmp(then.running[STAGE_A], now.running[STAGE_A]) == 0);
    SAY(m, strcmp(then.file[STAGE_B], now.file[STAGE_B]) == 0);
    stage_write(&stage, files[STAGE_A], now.file[STAGE_A]);
}

/* A text by hand is in its file, beside it, or in the journal that would bring it back. One that a
 * person has approved to be replaced, and then another one on top, is in the past. */
static void check_nothing_lost(const struct model *m)
{
    for (size_t k = 0; k < m->edit_count; k++) {
        bool approved = false;
        AUTO(promote_journal_free) struct promote_journal *journal = read_journal(m);
        for (size_t i = 0; journal && i < journal->plan->step_count; i++) {
            const struct promote_bytes *old = &journal->plan->steps[i].before;
            approved = approved || (old->there && strcmp(old->data, m->edits[k]) == 0);
        }
        if (!approved)
            SAY(m, stage_holds(&stage, m->edits[k]));
    }
}

static void act(struct model *m)
{
    uint64_t kind = rng_below(&m->rng, 10);
    if (kind < 4) {
        promote(m);
    } else if (kind < 7) {
        roll_back(m, true);
    } else if (kind < 8) {
        edit(m);
    } else if (kind < 9) {
        crash(m);
    } else {
        stale(m);
    }
    check_nothing_lost(m);
}

static void test_sequences(void **state)
{
    const char *seed = getenv("SPICA_TEST_SEED");
    (void)state;
    for (int s = 0; s < SEQUENCES; s++) {
        char name[32];
        snprintf(name, sizeof name, "sequence %d", s);
        struct model m = {.rng = rng_init(seed ? strtoull(seed, NULL, 10) : 1, name),
                          .sequence = s};
        stage_open(&stage);
        for (m.action = 0; m.action < ACTIONS; m.action++)
            act(&m);
        AUTO(promote_journal_free) struct promote_journal *journal = read_journal(&m);
        if (journal && promote_journal_is_pending(journal))
            roll_back(&m, false);
        check_nothing_lost(&m);
        stage_close(&stage);
    }
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

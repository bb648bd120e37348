/* See the header. */
#include "check.h"

#include "act_stage.h"

#include "base/clock.h"
#include "base/file.h"

static const int64_t NEVER_ENDS_NS = 60 * NS_PER_S;

void stage_acted(void *context, const struct guard_event *event)
{
    struct stage *stage = context;
    assert_int_equal(event->kind, EVENT_ACTED);
    assert_true(stage->count < TOLD_MAX);
    snprintf(stage->told[stage->count++], sizeof stage->told[0], "%s", event->text);
}

static bool on_tier(void *context, size_t service, enum spec_action action, char *text, size_t size)
{
    (void)context;
    snprintf(text, size, "service %zu", service);
    return action == ACTION_TIER_DOWN;
}

static void on_refused(void *context, enum spec_action action, int service)
{
    struct stage *stage = context;
    assert_true(action == ACTION_RESTART || action == ACTION_ROLLBACK);
    assert_int_equal(service, action == ACTION_RESTART ? 0 : -1);
    stage->refused++;
}

struct stage *stage_new(void)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->folder = check_make_folder();
    stage->results = file_join(stage->folder, "voice.spica");
    stage->made = made_study_new(stage->folder);
    for (int i = 0; i < ACTION_COUNT_; i++)
        stage->made->guard.limits[i] = (struct spec_guard_limit){.allowed = true, .per_hour = 100};
    assert_true(sd_event_new(&stage->event) >= 0);
    return stage;
}

void stage_free(struct stage *stage)
{
    guard_actor_close(stage->actor);
    sd_event_unref(stage->event);
    made_study_free(stage->made);
    free(stage->results);
    check_remove_folder(stage->folder);
    free(stage);
}

void stage_open(struct stage *stage, bool dry_run)
{
    const struct guard_act_setup setup = {.study = &stage->made->study,
                                          .folder = stage->results,
                                          .event = stage->event,
                                          .program = "/bin/true",
                                          .dry_run = dry_run,
                                          .notify_again_ns = NS_PER_MS,
                                          .refused = on_refused,
                                          .acted = stage_acted,
                                          .context = stage,
                                          .tier = on_tier};
    struct err err = ERR_INIT;
    stage->actor = guard_actor_close(stage->actor);
    if (!guard_actor_open(&setup, &stage->actor, &err))
        fail_msg("%s", err.text);
}

void stage_see(struct stage *stage)
{
    struct guard_tick tick = made_tick(stage->made);
    guard_actor_see(stage->actor, &tick);
}

void stage_decide(struct stage *stage, int service, uint32_t actions)
{
    struct guard_decision decision = {.rule = "slow \"speech\"",
                                      .service = service,
                                      .from = STATE_PENDING,
                                      .to = STATE_ALARM,
                                      .actions = actions};
    snprintf(decision.text, sizeof decision.text, "p95 912 ms > 300 ms for 30 s");
    guard_actor_do(stage->actor, &decision);
}

/* Until nothing is under way. */
void stage_settle(struct stage *stage)
{
    int64_t end_ns = clock_now_ns() + NEVER_ENDS_NS;
    while (guard_actor_busy(stage->actor) > 0) {
        assert_true(clock_now_ns() < end_ns);
        assert_true(sd_event_run(stage->event, 100000) >= 0);
    }
}

bool stage_told(const struct stage *stage, const char *part)
{
    for (size_t i = 0; i < stage->count; i++)
        if (strstr(stage->told[i], part))
            return true;
    return false;
}

void stage_set_command(struct stage *stage, const char *const *words)
{
    size_t n = 0;
    for (; words[n]; n++)
        stage->words[n] = (struct spec_setting){.text = words[n]};
    stage->made->guard.notify = stage->words;
    stage->made->guard.notify_count = n;
}

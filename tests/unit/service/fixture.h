/* A launch of the badly behaved child, and the question that all these tests end with: is anything
 * that it started still there? Every started process carries the study's name in SPICA_SERVICE,
 * which here is unique to the test. */
#pragma once

#include "check.h"

#include "base/clock.h"
#include "base/file.h"
#include "device/proc.h"
#include "service/process.h"
#include "service/stray.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

struct fixture {
    char *folder, *scratch, *log_path;
    char study[64];
    const char *argv[5];
    const char *env[8];
    const char *unset[4];
    struct spec_service spec;
    struct service_launch launch;
};

void fixture_init(struct fixture *fix, const char *mode, const char *number);
void fixture_done(struct fixture *fix);
void fixture_sleep_ms(int ms);
/* Living processes of this test's study, on the whole machine. */
int fixture_alive(const struct fixture *fix);
/* True when nothing is left within 5 s. */
bool fixture_all_gone(const struct fixture *fix);
struct service_process *fixture_start(struct fixture *fix);
/* Polls until the state is at least `state`, at most 20 s. */
bool fixture_reach(struct service_process *process, enum process_state state);
/* Waits until the log holds `text`, at most 20 s. */
bool fixture_says(struct service_process *process, const char *text);

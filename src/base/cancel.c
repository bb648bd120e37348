/* The handler adds one to a number and does nothing else: loops read the number where stopping is
 * clean. A pipe or signalfd was rejected, because every poll in the program would have to carry it;
 * a blocking wait is woken by EINTR, or asks again within its own short time-out. */
#include "base/cancel.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t level = CANCEL_NONE;

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

void cancel_raise(void)
{
    if (level < CANCEL_NOW)
        level = level + 1;
}

static void on_signal(int number)
{
    (void)number;
    cancel_raise();
}

void cancel_install(void)
{
    /* All three are blocked during the handler, so that the addition is never interrupted. Plain
     * reads and writes go on (SA_RESTART); poll and sleeps are interrupted all the same. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof stop_signals / sizeof stop_signals[0]; i++)
        sigaddset(&action.sa_mask, stop_signals[i]);
    for (size_t i = 0; i < sizeof stop_signals / sizeof stop_signals[0]; i++)
        sigaction(stop_signals[i], &action, NULL);
}

enum cancel cancel_level(void)
{
    return (enum cancel)level;
}

void cancel_reset(void)
{
    level = CANCEL_NONE;
}

/* A unit's log that is in a file.
 *
 * With `StandardOutput=append:/var/log/llm.log`, or a shell's `>`, the journal has no line of the
 * unit, and the words by which an engine says that it is out of device memory are seen by nobody.
 * What the process has open as its standard error says so, however that came about; systemd's
 * properties know only the first of the two ways.
 *
 * Rejected: reading that file as a journal (it is rotated, truncated, shared by units, and its
 * lines have no sender that the kernel vouches for): it would be one more forged source. So it is
 * said, once, that this one is not seen.
 *
 * Invariant: what may not be looked at (another user's process) is no finding. */
#include "guard/watch_blind.h"

#include "base/text.h"
#include "guard/watch_inside.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STDERR = 2 };

bool guard_blind_file(const char *proc_root, pid_t pid, char *ret_path, size_t size)
{
    char link[256], path[512];
    struct stat file;
    snprintf(link, sizeof link, "%s/%d/fd/%d", proc_root, (int)pid, STDERR);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0 || stat(link, &file) != 0 || !S_ISREG(file.st_mode))
        return false;
    path[len] = '\0';
    snprintf(ret_path, size, "%s", path);
    return true;
}

/* Of another process than before, so each time anew; said once. */
static bool is_blind(struct guard_watch *watch, const struct spec_watch *of, const char *name,
                     const struct guard_life *life, bool *said)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(2048);
    char path[512];
    if (!guard_blind_file("/proc", life->main.pid, path, sizeof path))
        return false;
    if (*said)
        return true;
    *said = true;
    text_add_escaped(&safe, TEXT_TERMINAL, path, strlen(path), 200);
    buf_addf(&watch->missing,
             "%.80s: %.100s writes its log to %s, not to the journal: out of memory in its log is "
             "not seen\n",
             name, of->unit, buf_text(&safe));
    return true;
}

static bool is_unit(const struct spec_watch *of, const struct guard_life *life)
{
    return of->kind == WATCH_UNIT && life->main.pid > 0;
}

static void look_at(struct guard_watch *watch, size_t i)
{
    const struct guard_subject *subject = &watch->subjects[i];
    const uint32_t bit = UINT32_C(1) << i;
    if (!subject->another || !is_unit(subject->watch, &subject->life))
        return;
    const bool blind = is_blind(watch, subject->watch, watch->study->services[i].name,
                                &subject->life, &watch->blind_said[i]);
    watch->no_log = blind ? watch->no_log | bit : watch->no_log & ~bit;
}

void guard_blind_look(struct guard_watch *watch)
{
    const size_t services = watch->study->service_count;
    if (!watch->journal)
        return; /* that was said of all of them */
    for (size_t i = 0; i < services; i++)
        look_at(watch, i);
    for (size_t k = 0; k < watch->also_count; k++)
        if (!watch->blind_said[services + k] &&
            is_unit(&watch->also[k].watch, &watch->also[k].life))
            (void)is_blind(watch, &watch->also[k].watch, watch->also[k].name, &watch->also[k].life,
                           &watch->blind_said[services + k]);
}

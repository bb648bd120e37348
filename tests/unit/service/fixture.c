/* See fixture.h. Waiting here is always by deadline: a broken service must fail a test, not hang
 * it. */
#include "fixture.h"

#include <dirent.h>
#include <poll.h>

void fixture_init(struct fixture *fix, const char *mode, const char *number)
{
    static int serial;
    memset(fix, 0, sizeof *fix);
    fix->folder = check_make_folder();
    snprintf(fix->study, sizeof fix->study, "test-%d-%d", (int)getpid(), serial++);
    if (asprintf(&fix->scratch, "%s/scratch/deep", fix->folder) < 0 ||
        asprintf(&fix->log_path, "%s/logs/child.log", fix->folder) < 0)
        abort();
    fix->argv[0] = "child";
    fix->argv[1] = mode;
    fix->argv[2] = number;
    fix->launch = (struct service_launch){
        .name = "child",
        .spec = &fix->spec,
        .program = CHILD_PROGRAM,
        .argv = fix->argv,
        .env = fix->env,
        .env_unset = fix->unset,
        .folder = fix->folder,
        .scratch = fix->scratch,
        .log_path = fix->log_path,
    };
}

void fixture_done(struct fixture *fix)
{
    free(fix->scratch);
    free(fix->log_path);
    check_remove_folder(fix->folder);
}

void fixture_sleep_ms(int ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
    nanosleep(&pause, NULL);
}

int fixture_alive(const struct fixture *fix)
{
    DIR *folder = opendir("/proc");
    int alive = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        int pid = (int)strtol(entry->d_name, NULL, 10);
        char *mark = pid > 0 ? proc_environ("/proc", pid, "SPICA_SERVICE") : NULL;
        if (mark && strncmp(mark, fix->study, strlen(fix->study)) == 0)
            alive++;
        free(mark);
    }
    closedir(folder);
    return alive;
}

bool fixture_all_gone(const struct fixture *fix)
{
    for (int i = 0; i < 100; i++) {
        if (fixture_alive(fix) == 0)
            return true;
        fixture_sleep_ms(50);
    }
    return false;
}

struct service_process *fixture_start(struct fixture *fix)
{
    struct service_process *process = NULL;
    struct err err = ERR_INIT;
    if (!service_process_start(&fix->launch, fix->study, &process, &err))
        fail_msg("start: %s", err.text);
    return process;
}

bool fixture_reach(struct service_process *process, enum process_state state)
{
    for (int i = 0; i < 200; i++) {
        struct pollfd fd = {.fd = service_process_fd(process), .events = POLLIN};
        poll(&fd, 1, 100);
        service_process_poll(process);
        if (service_process_status(process)->state >= state)
            return true;
    }
    return false;
}

bool fixture_says(struct service_process *process, const char *text)
{
    for (int i = 0; i < 400; i++) {
        size_t len = 0;
        char *log = service_process_log(process, &len);
        bool found = strstr(log, text) != NULL;
        free(log);
        if (found)
            return true;
        fixture_sleep_ms(50);
    }
    return false;
}

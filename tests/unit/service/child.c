/* A badly behaved server, one fault per first argument; the tests beside it start it for real. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

static void sleep_for_ever(void)
{
    alarm(120); /* not inherited: whatever a broken test leaves behind ends by itself */
    while (1)
        pause();
}

static void run_exit(int n)
{
    printf("leaving with %d\n", n);
    fflush(stdout);
    _exit(n);
}

static void run_sleep(int n)
{
    (void)n;
    sleep_for_ever();
}

static void run_ignore_term(int n)
{
    (void)n;
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    printf("deaf\n");
    fflush(stdout);
    sleep_for_ever();
}

/* A grandchild in a session of its own, deaf too. */
static void run_setsid(int n)
{
    (void)n;
    if (fork() == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        printf("apart\n");
        fflush(stdout);
    }
    sleep_for_ever();
}

/* A daemon: the main process ends, its grandchild lives on. */
static void run_daemon(int n)
{
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            printf("daemon\n");
            fflush(stdout);
            sleep_for_ever();
        }
    } else {
        usleep(100000);
    }
    _exit(n);
}

/* Every process forks for ever, in ever new sessions; bounded by `n` levels of two each. */
static void run_bomb(int n)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    printf("bomb\n");
    fflush(stdout);
    while (1) {
        if (n > 0 && fork() == 0) {
            n--;
            alarm(120);
            setsid();
        }
        usleep(20000);
    }
}

/* A family that starts a new member for each one that is killed. */
static void run_phoenix(int n)
{
    signal(SIGTERM, SIG_IGN);
    for (int i = 0; i < n; i++)
        if (fork() == 0)
            sleep_for_ever();
    signal(SIGCHLD, SIG_IGN);
    printf("phoenix\n");
    fflush(stdout);
    while (1) {
        if (fork() == 0) {
            setsid();
            usleep(50000);
            _exit(0);
        }
        usleep(10000);
    }
}

static void run_flood(int n)
{
    char line[1024];
    for (long i = 0; i < (long)n * 1024; i++) {
        memset(line, 'a' + (int)(i % 26), sizeof line);
        int len = snprintf(line, sizeof line, "line %ld ", i);
        line[len] = '.';
        line[sizeof line - 1] = '\n';
        if (write(1, line, sizeof line) < 0)
            _exit(1);
    }
    if (write(2, "the end\n", 8) < 0)
        _exit(1);
    sleep_for_ever();
}

static void run_environment(int n)
{
    for (char **entry = environ; *entry; entry++)
        printf("%s\n", *entry);
    fflush(stdout);
    _exit(n);
}

static void run_state(int n)
{
    DIR *folder = opendir("/proc/self/fd");
    int parent_death = 0;
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    prctl(PR_GET_PDEATHSIG, &parent_death);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != dirfd(folder))
            printf("fd %s\n", entry->d_name);
    char folder_name[4096];
    printf("folder %s\n", getcwd(folder_name, sizeof folder_name));
    printf("session %d group %d\n", getsid(0) == getpid(), getpgrp() == getpid());
    printf("parent death %d\n", parent_death);
    printf("blocked %d pipe ignored %d\n", sigismember(&mask, SIGCHLD),
           signal(SIGPIPE, SIG_DFL) == SIG_IGN);
    fflush(stdout);
    _exit(n);
}

static char *volatile eaten; /* the compiler must not see that nobody reads it */

static void run_eat(int n)
{
    for (int i = 0; i < n; i++) {
        char *mib = malloc(1 << 20);
        if (!mib)
            _exit(9);
        memset(mib, i + 1, 1 << 20);
        eaten = mib;
    }
    printf("ate %d\n", n);
    fflush(stdout);
    sleep_for_ever();
}

static void run_abort(int n)
{
    (void)n;
    fprintf(stderr, "about to abort\n");
    abort();
}

/* Late enough for a test to prepare what it is to find. */
static void run_signal(int n)
{
    sleep(1);
    signal(n, SIG_DFL);
    raise(n);
}

static const struct mode {
    const char *name;
    void (*run)(int n);
} modes[] = {
    {"exit", run_exit},       {"sleep", run_sleep},   {"deaf", run_ignore_term},
    {"setsid", run_setsid},   {"daemon", run_daemon}, {"bomb", run_bomb},
    {"phoenix", run_phoenix}, {"flood", run_flood},   {"environment", run_environment},
    {"state", run_state},     {"eat", run_eat},       {"abort", run_abort},
    {"signal", run_signal},
};

int main(int argc, char **argv)
{
    alarm(120);
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].name, argv[1]) == 0)
            modes[i].run(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0);
    return 64;
}

/* Which files of a unit make a person be asked, on files that are older or younger than its
 * process.
 */
#include "check.h"

#include "promote/edited.h"
#include "promote/target.h"

#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

static const struct {
    const char *name;
    const char *fragment, *source, *drop_in, *env_file; /* below the test's folder */
    const char *edited;                                 /* the one that is younger */
    bool excepted;                                      /* which is one of ours */
    bool named;
} rows[] = {
    {"nothing", "systemd/system/x.service", NULL, NULL, NULL, NULL, false, false},
    {"its file", "systemd/system/x.service", NULL, NULL, NULL, "systemd/system/x.service", false,
     true},
    {"another drop-in", "systemd/system/x.service", NULL, "systemd/system/x.service.d/a.conf", NULL,
     "systemd/system/x.service.d/a.conf", false, true},
    {"our drop-in", "systemd/system/x.service", NULL, "systemd/system/x.service.d/10-spica.conf",
     NULL, "systemd/system/x.service.d/10-spica.conf", false, false},
    {"variables", "systemd/system/x.service", NULL, NULL, "ai.env", "ai.env", false, true},
    {"variables that we write for another service", "systemd/system/x.service", NULL, NULL,
     "ai.env", "ai.env", true, false},
    {"a generator's file, new at each reload", "systemd/generator/x.service", "x.container", NULL,
     NULL, "systemd/generator/x.service", false, false},
    {"a late generator's drop-in", "systemd/system/x.service", NULL,
     "systemd/generator.late/x.service.d/a.conf", NULL, "systemd/generator.late/x.service.d/a.conf",
     false, false},
    {"what a generator makes it of", "systemd/generator/x.service", "x.container", NULL, NULL,
     "x.container", false, true},
    {"what somebody else made it of", "systemd/system/x.service", "x.in", NULL, NULL, "x.in", false,
     false},
    {"systemctl set-property", "systemd/system/x.service", NULL,
     "systemd/system.control/x.service.d/50-MemoryMax.conf", NULL,
     "systemd/system.control/x.service.d/50-MemoryMax.conf", false, false},
    {"a user's set-property", "systemd/user/x.service", NULL,
     "systemd/user.control/x.service.d/50-CPUWeight.conf", NULL,
     "systemd/user.control/x.service.d/50-CPUWeight.conf", false, false},
    {"another file beside those", "systemd/system/x.service", NULL,
     "systemd/system.control/x.service.d/a.conf", NULL, "systemd/system.control/x.service.d/a.conf",
     false, true},
};

static void make_folders(const char *path)
{
    char part[4096];
    snprintf(part, sizeof part, "%s", path);
    for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)!mkdir(part, 0755);
        *at = '/';
    }
}

/* The inode's own time is that of now; so the process is one of the future, and what is edited
 * later still. */
static const int64_t START_S = INT64_C(4000000000);

static const char *make(struct arena *arena, const char *folder, const char *name, bool edited)
{
    if (!name)
        return "";
    const char *path = arena_printf(arena, "%s/%s", folder, name);
    make_folders(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    const struct timespec times[2] = {{.tv_sec = START_S + (edited ? 1 : -1)},
                                      {.tv_sec = START_S + (edited ? 1 : -1)}};
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    return path;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        char *folder = check_make_folder();
        const char *names[] = {rows[i].fragment, rows[i].source, rows[i].drop_in, rows[i].env_file};
        const char *paths[ARRAY_LEN(names)], *edited = "";
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            bool is = names[k] && rows[i].edited && strcmp(names[k], rows[i].edited) == 0;
            paths[k] = make(arena, folder, names[k], is);
            edited = is ? paths[k] : edited;
        }
        const char *const drop_ins[] = {*paths[2] ? paths[2] : NULL, NULL};
        const struct host_env_file env = {paths[3], false};
        const struct host_config config = {.found = true,
                                           .name = "x.service",
                                           .fragment = paths[0],
                                           .source = paths[1],
                                           .drop_ins = drop_ins,
                                           .env_files = &env,
                                           .env_file_count = *paths[3] ? 1 : 0,
                                           .started_wall_us = START_S * 1000000};
        const char *const except[] = {"/another", edited, NULL};
        const char *is = promote_unit_edited(&config, rows[i].excepted ? except : NULL, arena);
        if (!is != !rows[i].named || (is && !strstr(is, edited)))
            fail_msg("%s: %s", rows[i].name, is ? is : "not named");
        check_remove_folder(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

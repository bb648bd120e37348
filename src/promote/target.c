/* What all targets share: the winner's values put into production's texts, files compared with what
 * is there, restarts.
 *
 * Values are checked here, once, for every format: printable UTF-8 on one line. Whoever quotes them
 * afterwards only has to know its own quotes. Rejected: escaping control characters where a format
 * could. A newline in a variable is a mistake far more often than a wish, and is read differently
 * by each of systemd, Compose and Kubernetes. */
#include "promote/target.h"

#include "base/file.h"
#include "base/text.h"
#include "promote/along.h"
#include "promote/edited.h"
#include "promote/program.h"
#include "promote/safe_file.h"
#include "promote/secret.h"
#include "promote/world.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* In the order in which the manual names them. */
const struct promote_target *const promote_target_table[] = {
    &promote_target_unit,       &promote_target_env_file, &promote_target_compose,
    &promote_target_kubernetes, &promote_target_command,
};
const size_t promote_target_count = ARRAY_LEN(promote_target_table);

bool promote_step_add(struct promote_context *context, enum promote_kind kind, int service,
                      struct promote_step **ret_step, struct err *err)
{
    struct promote_plan *plan = context->plan;
    if (plan->step_count == PROMOTE_STEPS_MAX)
        return err_set(err, ERR_LIMIT, "a promotion of more than %d steps", PROMOTE_STEPS_MAX);
    struct promote_step *step = &plan->steps[plan->step_count++];
    *step =
        (struct promote_step){.kind = kind, .service = service, .downtime_s = __builtin_nan("")};
    *ret_step = step;
    return true;
}

/* ---- texts with the winner's values ---- */

static bool is_printable(const char *text)
{
    size_t len = strlen(text), used = 0;
    for (; len; text += used, len -= used) {
        uint32_t code = 0;
        used = text_utf8_next(text, len, &code);
        if (used == 0 || (code < 0x20 && code != '\t') || code == 0x7f)
            return false;
    }
    return true;
}

/* *ret_text NULL: left out. */
static bool expand(struct promote_context *context, size_t service, const char *where,
                   const char *text, const char **ret_text, struct err *err)
{
    enum { EXPANDED_MAX = 64 * 1024 };
    const struct promote_plan *plan = context->plan;
    const int port = service == SIZE_MAX ? 0 : plan->study->production[service].port;
    AUTO(buf_done) struct buf buf = BUF_INIT(EXPANDED_MAX);
    *ret_text = NULL;
    if (!text || !spec_setting_expand(plan->study, &plan->winner, service, text, port, "", &buf))
        return true;
    if (buf.over)
        return err_set(err, ERR_LIMIT, "%s: longer than 64 KiB", where);
    if (!is_printable(buf_text(&buf)))
        return err_set(err, ERR_INPUT, "%s: is not one line of printable UTF-8", where);
    *ret_text = arena_strdup(plan->arena, buf_text(&buf));
    return true;
}

static const char *where_of(struct promote_context *context, size_t service, const char *part)
{
    if (service == SIZE_MAX)
        return "production: a hook";
    return arena_printf(context->plan->arena, "production.%s.%s",
                        context->plan->study->services[service].name, part);
}

bool promote_variables(struct promote_context *context, size_t service,
                       struct promote_variables *ret, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    struct promote_variables all = {
        .items = arena_array(context->plan->arena, p->environment_count + 1, sizeof *all.items)};
    for (size_t i = 0; i < p->environment_count; i++, all.count++) {
        struct promote_variable *v = &all.items[i];
        v->name = p->environment[i].name;
        if (!expand(context, service, where_of(context, service, v->name), p->environment[i].text,
                    &v->value, err))
            return false;
        v->secret = v->value && (p->secret[i] || promote_is_secret(v->name, v->value));
        all.secret = all.secret || v->secret;
    }
    *ret = all;
    return true;
}

static bool words_of(struct promote_context *context, size_t service, const struct spec_argv *argv,
                     const char ***ret_words, struct err *err)
{
    const char **words = arena_array(context->plan->arena, argv->count + 1, sizeof *words);
    size_t count = 0;
    for (size_t i = 0; i < argv->count; i++) {
        if (!expand(context, service, where_of(context, service, "exec"), argv->items[i].text,
                    &words[count], err))
            return false;
        if (words[count])
            count++;
        else if (i == 0)
            return err_set(err, ERR_INPUT, "%s: the winner leaves its program out",
                           where_of(context, service, "exec"));
    }
    *ret_words = words;
    return true;
}

bool promote_command(struct promote_context *context, size_t service, const struct spec_argv *argv,
                     const char *const **ret_argv, struct err *err)
{
    const char **words = NULL;
    if (!words_of(context, service, argv, &words, err))
        return false;
    *ret_argv = words;
    return true;
}

bool promote_program_add(struct promote_context *context, const char *path, struct err *err)
{
    return promote_program_check(path, err) && promote_witness_add(context, path, err);
}

/* The script behind an interpreter is an argument, as is what it is to read. */
static bool add_argument(struct promote_context *context, const char *word, struct err *err)
{
    AUTO(free) char *path = promote_program_argument(context->plan->run_folder, word);
    return !path || promote_program_add(context, path, err);
}

bool promote_own_command(struct promote_context *context, size_t service,
                         const struct spec_argv *argv, const char *const **ret_argv,
                         struct err *err)
{
    struct promote_plan *plan = context->plan;
    const char **words = NULL;
    if (!words_of(context, service, argv, &words, err))
        return false;
    AUTO(free)
    char *own = text_starts_with(words[0], "./") ? file_join(plan->study->folder, words[0] + 2)
                                                 : strdup(words[0]);
    AUTO(free) char *found = file_find_program(own, plan->study->folder);
    if (!found)
        return err_set(err, ERR_MISSING, "%s: no program %s: not found, or not executable",
                       where_of(context, service, "command"), words[0]);
    AUTO(free) char *absolute = file_absolute(found);
    words[0] = arena_strdup(plan->arena, absolute);
    for (size_t i = 1; words[i]; i++)
        if (!add_argument(context, words[i], err))
            return err_wrap(err, "%s", where_of(context, service, "command"));
    *ret_argv = words;
    return promote_program_add(context, words[0], err) ||
           err_wrap(err, "%s", where_of(context, service, "command"));
}

/* ---- files ---- */

static const char header_word[] = "# Written by spica promote";

void promote_header_add(struct buf *buf, const struct promote_context *context, size_t service)
{
    const struct spec_study *study = context->plan->study;
    buf_addf(buf, "%s: %s of study %s.\n# Undo: %s\n", header_word, study->services[service].name,
             study->name, context->undo);
    buf_add(buf, "# Edit the study file instead: the next promotion writes this file again.\n");
}

bool promote_header_is_there(const char *text)
{
    return text && text_starts_with(text, header_word);
}

void promote_quoted_add(struct buf *buf, const char *text, char dollar)
{
    buf_addc(buf, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_addc(buf, '\\');
        if (dollar && *text == dollar)
            buf_addc(buf, dollar);
        if (*text == '\t')
            buf_add(buf, "\\t");
        else
            buf_addc(buf, *text);
    }
    buf_addc(buf, '"');
}

bool promote_file_text(struct promote_context *context, const char *path, const char **ret_text,
                       struct err *err)
{
    struct promote_bytes bytes;
    if (!promote_file_read(context->plan->arena, path, &bytes, err))
        return false;
    if (bytes.there && memchr(bytes.data, '\0', bytes.len))
        return err_set(err, ERR_INPUT, "%s: holds a NUL byte: not a file of text", path);
    *ret_text = bytes.there ? arena_strndup(context->plan->arena, bytes.data, bytes.len) : NULL;
    return true;
}

static const char *why_file(const struct promote_context *context, const struct promote_text *file,
                            const struct promote_bytes *before, mode_t mode)
{
    const bool root =
        text_starts_with(file->path, "/etc/") || text_starts_with(file->path, "/usr/");
    const bool theirs = before->there && file->owned == PROMOTE_OURS && before->len > 0 &&
                        !promote_header_is_there(before->data);
    const bool told = file->secret && (mode & S_IROTH);
    AUTO(buf_done) struct buf why = BUF_INIT(256);
    buf_add(&why, theirs ? "it was not spica's" : "");
    buf_addf(&why, "%s%s", root && why.len ? "; " : "", root ? "needs root" : "");
    if (told)
        buf_addf(&why, "%sit gets a secret and everybody may read it (%04o): chmod o-r it",
                 why.len ? "; " : "", (unsigned)mode);
    return why.len ? arena_strdup(context->plan->arena, buf_text(&why)) : NULL;
}

static void note_found(void *context, const char *value)
{
    (void)value;
    *(bool *)context = true;
}

/* Variables are looked at one by one; a password within a value (an address of a database) or in an
 * argument is seen where the text is. In a file that others write as well their own words would be
 * found, and its mode is theirs. */
static bool gets_secret(const struct promote_context *context, const struct promote_text *file)
{
    bool found = file->secret;
    if (!found && file->owned == PROMOTE_OURS)
        promote_secrets_each(buf_text(file->text), context->plan->secret_names, note_found, &found);
    return found;
}

bool promote_file_add(struct promote_context *context, size_t service,
                      const struct promote_text *file, bool *ret_changed, struct err *err)
{
    enum { OPEN = 0644, CLOSED = 0600 };
    struct promote_plan *plan = context->plan;
    struct promote_step *step = NULL;
    struct promote_bytes before, after;
    const bool secret = gets_secret(context, file);
    if (file->text->over)
        return err_set(err, ERR_LIMIT, "%s would be longer than %d bytes", file->path,
                       PROMOTE_FILE_MAX);
    if (!promote_file_read(plan->arena, file->path, &before, err))
        return false;
    after = before;
    if (before.links > 1)
        return err_set(err, ERR_INPUT,
                       "%s: has %u names (hard links): the others would keep the old content, so "
                       "unlink them or name a file of its own",
                       file->path, before.links);
    if (!before.there) {
        if (!promote_folder_owner(file->path, &after.uid, &after.gid, err))
            return false;
        after.mode = secret ? CLOSED : OPEN;
    } else if (secret && file->owned == PROMOTE_OURS) {
        after.mode = CLOSED;
    }
    after.there = true;
    after.data = arena_strndup(plan->arena, buf_text(file->text), file->text->len);
    after.len = file->text->len;
    *ret_changed = !promote_bytes_equal(&before, &after);
    if (!*ret_changed)
        return true;
    bool folder = true;
    if (!promote_folder_is_there(file->path, &folder, err) ||
        !promote_step_add(context, PROMOTE_FILE, (int)service, &step, err))
        return false;
    step->path = arena_strdup(plan->arena, file->path);
    for (size_t i = 0; i + 1 < plan->step_count; i++)
        if (plan->steps[i].kind == PROMOTE_FILE && strcmp(plan->steps[i].path, file->path) == 0)
            return err_set(err, ERR_INPUT,
                           "production.%s and production.%s would both write %s: one would undo "
                           "what the other writes",
                           plan->study->services[plan->steps[i].service].name,
                           plan->study->services[service].name, file->path);
    step->before = before;
    step->after = after;
    step->makes_folder = !folder;
    step->why = why_file(context, file, &before, after.mode);
    return true;
}

bool promote_witness_add(struct promote_context *context, const char *path, struct err *err)
{
    return !file_exists(path) || promote_witness_place(context, path, err);
}

static bool is_witness(const struct promote_plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->witness_count; i++)
        if (strcmp(plan->witnesses[i].path, path) == 0)
            return true;
    return false;
}

static void put_witness(struct promote_plan *plan, const struct promote_witness *witness)
{
    struct promote_witness *grown =
        arena_array(plan->arena, plan->witness_count + 1, sizeof *grown);
    for (size_t i = 0; i < plan->witness_count; i++)
        grown[i] = plan->witnesses[i];
    grown[plan->witness_count++] = *witness;
    plan->witnesses = grown;
}

bool promote_witness_place(struct promote_context *context, const char *path, struct err *err)
{
    struct promote_plan *plan = context->plan;
    struct promote_witness witness = {.path = arena_strdup(plan->arena, path)};
    if (is_witness(plan, path))
        return true;
    if (file_exists(path) && !digest_file(path, witness.digest, err))
        return false;
    put_witness(plan, &witness);
    return true;
}

static bool add_variables(struct promote_context *context, const char *path, struct err *err)
{
    struct promote_plan *plan = context->plan;
    struct promote_witness witness = {.path = arena_strdup(plan->arena, path)};
    struct stat st;
    if (stat(path, &st) != 0 || (st.st_mode & S_IROTH))
        return promote_witness_place(context, path, err);
    promote_digest_private(path, witness.digest);
    if (!is_witness(plan, path))
        put_witness(plan, &witness);
    return true;
}

bool promote_witness_variables(struct promote_context *context, const char *path, struct err *err)
{
    glob_t found = {0};
    bool good = true;
    if (!strpbrk(path, "*?["))
        return add_variables(context, path, err);
    if (glob(path, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; good && i < found.gl_pathc; i++)
            good = add_variables(context, found.gl_pathv[i], err);
    globfree(&found);
    return good;
}

/* ---- restarts ---- */

static const char *ready_path(const struct promote_plan *plan, size_t service)
{
    const struct spec_engine_use *use = spec_candidate_engine(plan->study, &plan->winner, service);
    const char *own = plan->study->services[service].ready_path;
    return own ? own : use ? use->engine->ready_path : NULL;
}

void promote_step_set_port(struct promote_context *context, size_t service,
                           struct promote_step *step)
{
    step->port = context->plan->study->production[service].port;
    step->ready_path = step->port ? ready_path(context->plan, service) : NULL;
    step->tls = context->plan->study->services[service].tls;
}

struct units {
    const char *names[64];
    size_t count;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those of a list of host_unit that are not yet known; one that fills its room was cut. */
static bool note_units(struct promote_context *context, const char *list, struct units *all,
                       const char *unit, struct err *err)
{
    bool fits = strlen(list) + 1 < sizeof((struct host_unit *)0)->dependents;
    for (const char *at = list; fits && *at;) {
        const size_t len = strcspn(at, ",");
        bool known = strlen(unit) == len && strncmp(unit, at, len) == 0;
        for (size_t i = 0; i < all->count; i++)
            known = known || (strlen(all->names[i]) == len && strncmp(all->names[i], at, len) == 0);
        fits = known || all->count < ARRAY_LEN(all->names);
        if (fits && !known)
            all->names[all->count++] = arena_strndup(context->plan->arena, at, len);
        at += len + (at[len] == ',');
    }
    return fits || err_set(err, ERR_LIMIT,
                           "%s: more units are restarted along with it than can be shown", unit);
}

/* `more` besides what is known. */
static void note_edited(struct promote_context *context, size_t service, const char *more)
{
    const char **edited = &context->edited[service];
    if (more)
        *edited = *edited ? arena_printf(context->plan->arena, "%s; %s", *edited, more) : more;
}

/* One that ends over and over and is started again is neither up nor down, whatever we do; one that
 * is up only while it works is not to do its work again. What can't be started by hand is not left
 * down in the middle: that is for a person to know before. */
static bool add_dependent(struct promote_context *context, size_t service, enum host_scope scope,
                          const char *name, struct buf *text, struct err *err)
{
    struct host_unit unit = {0};
    struct host_config config = {0};
    if (!context->world->unit(context, scope, name, &unit, &config, err))
        return false;
    if (text_starts_with(unit.sub, "auto-restart") || unit.once)
        return true;
    if (!unit.can_start)
        return err_set(err, ERR_DECLINED,
                       "%s goes down with %s and can't be started again by hand (%s): nothing was "
                       "touched; end it first",
                       name, context->plan->study->production[service].unit,
                       unit.transient ? "made on the fly" : "RefuseManualStart=, or its file");
    buf_addf(text, "%s%s", text->len ? ", " : "", name);
    note_edited(context, service, promote_unit_edited(&config, NULL, context->plan->arena));
    return true;
}

/* systemd restarts or stops them with the unit (Requires=, BindsTo=, PartOf=), and those that hang
 * on them in turn. */
static bool find_dependents(struct promote_context *context, size_t service, enum host_scope scope,
                            const struct host_unit *unit, const char *name, const char **ret_text,
                            struct err *err)
{
    struct units all = {.count = 0};
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    if (!note_units(context, unit->dependents, &all, name, err))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        struct host_unit next = {0};
        struct host_config ignored;
        if (!context->world->unit(context, scope, all.names[i], &next, &ignored, err) ||
            !note_units(context, next.dependents, &all, name, err))
            return false;
    }
    qsort(all.names, all.count, sizeof *all.names, compare_names);
    for (size_t i = 0; i < all.count; i++)
        if (!add_dependent(context, service, scope, all.names[i], &text, err))
            return false;
    *ret_text = text.len ? arena_strdup(context->plan->arena, buf_text(&text)) : NULL;
    return true;
}

bool promote_service_unit(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_study *study = context->plan->study;
    const struct spec_production *p = &study->production[service];
    if (context->units[service])
        return true;
    struct host_unit *unit = arena_alloc(context->plan->arena, sizeof *unit);
    struct host_config *config = arena_alloc(context->plan->arena, sizeof *config);
    if (!context->world->unit(context, p->user ? HOST_USER : HOST_SYSTEM, p->unit, unit, config,
                              err))
        return err_wrap(err, "production.%s.unit", study->services[service].name);
    context->units[service] = unit;
    context->configs[service] = config;
    return true;
}

bool promote_restart_add(struct promote_context *context, size_t service,
                         const struct host_unit *unit, struct promote_step **ret_step,
                         struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    const enum host_scope scope = p->user ? HOST_USER : HOST_SYSTEM;
    struct promote_along *along = arena_alloc(context->plan->arena, sizeof *along);
    struct promote_step *reload = NULL, *restart = NULL;
    if (!promote_step_add(context, PROMOTE_RELOAD, (int)service, &reload, err) ||
        !promote_step_add(context, PROMOTE_RESTART, (int)service, &restart, err) ||
        !find_dependents(context, service, scope, unit, p->unit, &restart->dependents, err))
        return false;
    reload->scope = restart->scope = scope;
    reload->why = scope == HOST_SYSTEM ? "needs root or a polkit rule" : "of your own systemd";
    /* Its own name: an alias would be locked and compared as another unit. */
    restart->unit = arena_strdup(context->plan->arena, unit->name[0] ? unit->name : p->unit);
    restart->was_up = unit->up;
    restart->downtime_s = context->restart_s[service];
    restart->within_ns = p->within_ns;
    promote_step_set_port(context, service, restart);
    restart->why = !unit->up ? "it is down and stays down" : reload->why;
    if (context->after[service])
        restart->why = arena_printf(context->plan->arena, "after %s, as systemd starts them; %s",
                                    context->after[service], restart->why);
    promote_along_list(context->plan, context->plan->arena, along);
    if (along->over)
        return err_set(err, ERR_LIMIT, "more than %d units hang on those that are restarted",
                       PROMOTE_ALONG_MAX);
    *ret_step = restart;
    return true;
}

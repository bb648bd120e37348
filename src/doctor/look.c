/* Facts of each service: where it listens, what it serves, what it was told about the GPU, what it
 * says of itself.
 *
 * Arguments and environment say what was wished, /proc/PID/net and the driver what is. A GET is
 * sent only to a port that the service is seen to listen on, or that its command line names and
 * that nobody else is seen to hold: never to a port that is somebody else's. Each may take 500 ms,
 * at most three per service, so that a machine full of hung servers is told of within seconds.
 *
 * Rejected: a real transcription or generation as proof that it computes. That would be load on
 * servers which somebody uses, and `spica bench` is there for it. */
#include "doctor/look.h"

#include "base/clock.h"
#include "base/text.h"
#include "doctor/cards.h"
#include "doctor/cause.h"
#include "doctor/doctor.h"
#include "doctor/find.h"
#include "doctor/http.h"
#include "doctor/log.h"
#include "doctor/process.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum { BODY_MAX = 256 << 10, ENVIRON_MAX = 8 << 20, PORTS_MAX = 32 };
static const int64_t get_within_ns = 500 * NS_PER_MS;

/* "8000", "0.0.0.0:11434", "tcp://0.0.0.0:10300": the number at the end. */
static int port_of(const char *text)
{
    size_t len = strlen(text), at = len;
    int64_t port = 0;
    while (at > 0 && isdigit((unsigned char)text[at - 1]))
        at--;
    return text_to_i64(text + at, &port) && port > 0 && port < 65536 ? (int)port : 0;
}

static void set_model(struct doctor_service *service, const char *text)
{
    AUTO(buf_done) struct buf shown = BUF_INIT(sizeof service->model - 1);
    text_add_escaped(&shown, TEXT_TERMINAL, text, strlen(text), 200);
    snprintf(service->model, sizeof service->model, "%s", buf_text(&shown));
}

static void wish(struct doctor_service *service, const struct doctor_wish *row, const char *name,
                 const char *value)
{
    service->asks = row->asks;
    snprintf(service->asks_by, sizeof service->asks_by, "%.40s%s%.40s", name,
             value && value[0] ? (row->environment ? "=" : " ") : "", value ? value : "");
}

/* The alias that was used, as it was written. */
static const char *flag_used(char *const *argv, const char *flags)
{
    for (size_t i = 1; argv[i]; i++) {
        char *const one[] = {argv[0], argv[i], NULL};
        if (argv[i][0] == '-' && doctor_argv_has(one, flags))
            return argv[i];
    }
    return flags;
}

static bool wishes_by_argv(struct doctor_service *service)
{
    for (size_t i = 0; i < service->kind->wish_count; i++) {
        const struct doctor_wish *row = &service->kind->wishes[i];
        const char *value = row->flags ? doctor_argv_value(service->argv, row->flags) : NULL;
        if (!value || (row->value && fnmatch(row->value, value, FNM_CASEFOLD) != 0))
            continue;
        const char *used = flag_used(service->argv, row->flags);
        char name[48];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(used, "="), used);
        wish(service, row, name, row->value ? value : "");
        return true;
    }
    return false;
}

/* vLLM's model may be its first bare argument behind "serve". */
static const char *bare_model(const struct doctor_service *service)
{
    for (size_t i = 1; i + 1 < service->argc; i++)
        if (strcmp(service->argv[i], "serve") == 0 && service->argv[i + 1][0] != '-' &&
            service->kind->model_flags)
            return service->argv[i + 1];
    return NULL;
}

void doctor_look_argv(struct doctor_service *service)
{
    const struct doctor_kind *kind = service->kind;
    const char *port = kind->port_flags ? doctor_argv_value(service->argv, kind->port_flags) : NULL;
    const char *model = doctor_argv_value(service->argv, kind->model_flags);
    const char *detail =
        kind->detail_flags ? doctor_argv_value(service->argv, kind->detail_flags) : NULL;
    if (!model || !model[0])
        model = bare_model(service);
    service->port = port ? port_of(port) : 0;
    if (model && model[0])
        set_model(service, model);
    if (detail && detail[0])
        snprintf(service->detail, sizeof service->detail, "%s %.20s", kind->detail_word, detail);
    wishes_by_argv(service);
}

void doctor_look_environ(struct doctor_service *service, const struct buf *variables)
{
    const struct doctor_kind *kind = service->kind;
    const char *port =
        kind->port_variable ? doctor_environ_find(variables, kind->port_variable) : NULL;
    const char *model =
        kind->model_variable ? doctor_environ_find(variables, kind->model_variable) : NULL;
    if (service->port == 0 && port)
        service->port = port_of(port);
    if (!service->model[0] && model)
        set_model(service, model);
    for (size_t i = 0; service->asks_by[0] == '\0' && i < kind->wish_count; i++) {
        const struct doctor_wish *row = &kind->wishes[i];
        const char *value =
            row->environment ? doctor_environ_find(variables, row->environment) : NULL;
        if (value && (!row->value || fnmatch(row->value, value, FNM_CASEFOLD) == 0))
            wish(service, row, row->environment, value);
    }
}

/* What neither arguments nor environment say: the program's own default. */
static void default_wish(struct doctor_service *service)
{
    for (size_t i = 0; service->asks_by[0] == '\0' && i < service->kind->wish_count; i++) {
        const struct doctor_wish *row = &service->kind->wishes[i];
        if (!row->flags && !row->environment)
            wish(service, row, "its default", NULL);
    }
    if (service->port == 0)
        service->port = service->kind->port;
}

/* A configuration file named on the command line may hold "device: cpu" and "path: MODEL". */
static void look_config(const char *root, struct doctor_service *service)
{
    const char *name = doctor_argv_value(service->argv, "--config");
    char path[4096], device[32] = "";
    if (!name || !name[0] || strcmp(service->kind->name, "faster-whisper-server") != 0)
        return;
    snprintf(path, sizeof path, "%s/%d/%s%s", root, (int)service->pid,
             name[0] == '/' ? "root" : "cwd/", name);
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    if (!buf_read_file(&text, path, NULL) && !buf_read_file(&text, name, NULL))
        return;
    const char *at = strstr(buf_text(&text), "device: ");
    if (at && sscanf(at, "device: %31[a-z]", device) == 1 && !service->asks_by[0]) {
        service->asks = strcmp(device, "cpu") == 0    ? ASKS_CPU
                        : strcmp(device, "cuda") == 0 ? ASKS_GPU
                                                      : ASKS_NOTHING;
        snprintf(service->asks_by, sizeof service->asks_by, "device: %s in its configuration",
                 device);
    }
    at = strstr(buf_text(&text), "path: ");
    if (at && !service->model[0]) {
        char model[200];
        snprintf(model, sizeof model, "%.*s", (int)strcspn(at + 6, "\n"), at + 6);
        set_model(service, model);
    }
}

static bool same_network(const char *root, pid_t pid)
{
    char own[64], other[64];
    return !doctor_process_link(root, getpid(), "ns/net", own, sizeof own) ||
           !doctor_process_link(root, pid, "ns/net", other, sizeof other) ||
           strcmp(own, other) == 0;
}

static bool is_member(const struct doctor_service *service, pid_t pid)
{
    for (size_t i = 0; i < service->member_count; i++)
        if (service->members[i] == pid)
            return true;
    return false;
}

/* The port that was told, when a member listens there; else the lowest of the main process. */
static void look_port(const char *root, struct doctor_service *service)
{
    int lowest = 0;
    service->other_network = !same_network(root, service->pid);
    for (size_t m = 0; m < service->member_count; m++) {
        int ports[PORTS_MAX], count = proc_ports(root, service->members[m], ports, PORTS_MAX);
        if (count >= 0 && m == 0)
            service->listens = SEEN_NO;
        for (int i = 0; i < count; i++) {
            if (ports[i] == service->port) {
                service->listens = SEEN_YES;
                return;
            }
            if (m == 0 && !lowest)
                lowest = ports[i];
        }
    }
    if (lowest) {
        service->port = lowest;
        service->listens = SEEN_YES;
    } else if (service->port && service->listens == SEEN_NOT && !service->other_network) {
        /* Not ours to look into: somebody unseen on the told port is most likely it. */
        pid_t holder = proc_listener(root, service->port);
        if (holder == 0 || (holder > 0 && !is_member(service, holder)))
            service->listens = SEEN_NO;
    }
}

bool doctor_look_loaded(struct doctor_service *service, const char *text, size_t len)
{
    AUTO_JSON json_t *root = json_loadb(text, len, 0, NULL);
    const json_t *models = json_object_get(root, "models"), *model = NULL;
    size_t i = 0;
    double size = 0, vram = 0;
    if (!json_is_array(models))
        return false;
    json_array_foreach(models, i, model)
    {
        /* Ollama leaves out what is 0, as in engine_placement.c; of one without a size nothing is
         * known. */
        double bytes = json_get_real(model, "size");
        bool none = bytes > 0 && !json_object_get(model, "size_vram");
        size += bytes;
        vram += none ? 0 : json_get_real(model, "size_vram");
        if (i == 0 && json_get_text(model, "name"))
            set_model(service, json_get_text(model, "name"));
    }
    service->loaded = (int)json_array_size(models);
    service->size_bytes = service->loaded ? size : NAN;
    service->vram_bytes = service->loaded ? vram : NAN;
    return true;
}

void doctor_look_models(struct doctor_service *service, const char *text, size_t len)
{
    AUTO_JSON json_t *root = json_loadb(text, len, 0, NULL);
    const char *id = json_get_text(json_array_get(json_object_get(root, "data"), 0), "id");
    /* One that is on the command line says more than "whisper-1". */
    if (id && id[0] && !service->model[0])
        set_model(service, id);
}

static void ask(struct doctor_service *service)
{
    const struct doctor_kind *kind = service->kind;
    AUTO(buf_done) struct buf body = BUF_INIT(BODY_MAX);
    if (!kind->health || !service->port || service->other_network || service->listens == SEEN_NO)
        return;
    service->health = doctor_http_get(service->port, kind->health, get_within_ns, &body);
    if (service->health == 0)
        return;
    buf_clear(&body);
    if (kind->loaded && doctor_http_get(service->port, kind->loaded, get_within_ns, &body) == 200)
        doctor_look_loaded(service, buf_text(&body), body.len);
    buf_clear(&body);
    if (kind->models && !service->model[0] &&
        doctor_http_get(service->port, kind->models, get_within_ns, &body) == 200)
        doctor_look_models(service, buf_text(&body), body.len);
}

/* Size of the model's file, for a guess at what it needs. */
static double weigh(const char *root, const struct doctor_service *service)
{
    const char *name = doctor_argv_value(service->argv, service->kind->model_flags);
    char path[4096];
    struct stat at;
    if (!name || !name[0])
        return NAN;
    snprintf(path, sizeof path, "%s/%d/%s%s", root, (int)service->pid,
             name[0] == '/' ? "root" : "cwd/", name);
    if ((stat(path, &at) == 0 || stat(name, &at) == 0) && S_ISREG(at.st_mode))
        return (double)at.st_size;
    return NAN;
}

/* A log may hold earlier runs: a library that it calls missing and that is loaded now was missing
 * then. */
static void forget_old_words(const char *root, struct doctor_service *service)
{
    const char *name = strstr(service->log_line, "lib");
    size_t len = name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789_.-+")
                      : 0;
    while (len > 0 && name[len - 1] == '.')
        len--;
    if (service->log_cause != CAUSE_MISSING_LIBRARY || len < strlen("libx.so"))
        return;
    for (size_t m = 0; m < service->member_count; m++) {
        AUTO(buf_done) struct buf maps = BUF_INIT(16 << 20);
        if (doctor_process_file(root, service->members[m], "maps", &maps) != SEEN_YES)
            continue;
        if (memmem(buf_text(&maps), maps.len, name, len)) {
            service->log_cause = CAUSE_NONE;
            service->log_line[0] = '\0';
            return;
        }
    }
}

static void look_at(const struct doctor_options *options, struct doctor_report *report,
                    struct doctor_service *service, size_t whole_cards)
{
    const char *root = options->proc_root;
    AUTO(buf_done) struct buf variables = BUF_INIT(ENVIRON_MAX);
    service->loaded = -1;
    service->health = -1;
    service->size_bytes = service->vram_bytes = NAN;
    doctor_look_argv(service);
    if (doctor_process_file(root, service->pid, "environ", &variables) == SEEN_YES)
        doctor_look_environ(service, &variables);
    look_config(root, service);
    default_wish(service);
    doctor_process_read(root, service, whole_cards);
    look_port(root, service);
    service->weights_bytes = weigh(root, service);
    if (!options->silent)
        ask(service);
    service->place = doctor_cause_place(report, service);
    doctor_log_read(root, service, !options->silent);
    forget_old_words(root, service);
}

/* A script with "whisper" in its name that listens nowhere is somebody's batch job. */
static void drop_jobs(const char *root, struct doctor_report *report)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->service_count; i++) {
        struct doctor_service *service = &report->services[i];
        bool listens = !service->kind->must_listen;
        for (size_t m = 0; m < service->member_count && !listens; m++) {
            int port = 0;
            listens = proc_ports(root, service->members[m], &port, 1) != 0; /* or not ours to see */
        }
        if (listens) {
            if (kept != i)
                report->services[kept] = *service;
            kept++;
        } else {
            free(service->argv_text);
            free(service->argv);
        }
    }
    report->service_count = kept;
}

bool doctor_look(const struct doctor_options *options, struct doctor_report **ret_report,
                 struct err *err)
{
    AUTO(doctor_report_free) struct doctor_report *report = calloc(1, sizeof *report);
    size_t whole = 0;
    if (!report)
        abort();
    if (!doctor_find(options->proc_root, report, err))
        return err_wrap(err, "looking at the processes");
    drop_jobs(options->proc_root, report);
    doctor_cards_read(options->proc_root, options->library, report);
    for (size_t i = 0; i < report->card_count; i++)
        whole += !report->cards[i].identity.instance;
    for (size_t i = 0; i < report->service_count; i++)
        look_at(options, report, &report->services[i], whole);
    doctor_cause_judge(report);
    *ret_report = TAKE(report);
    return true;
}

struct doctor_report *doctor_report_free(struct doctor_report *report)
{
    for (size_t i = 0; report && i < report->service_count; i++) {
        free(report->services[i].argv_text);
        free(report->services[i].argv);
    }
    free(report);
    return NULL;
}

size_t doctor_problem_count(const struct doctor_report *report)
{
    return report->problem_count;
}

size_t doctor_service_count(const struct doctor_report *report)
{
    return report->service_count;
}

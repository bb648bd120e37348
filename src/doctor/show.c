/* One screen for people: each card with who holds what on it, then the services that are on no
 * card, then what is wrong, why, and what to do.
 *
 * Words come from outside (names of models, units, lines of logs) and are escaped before they get
 * here or by the helpers here; lines are filled to the terminal's width, so that a long cause does
 * not hide a short fix. Rejected: a table with a column for everything; on 80 columns nothing of it
 * could be read.
 *
 * Invariant: a figure that is not known reads "unknown", never 0. */
#include "doctor/doctor.h"
#include "doctor/facts.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

enum { LEFT = 6, NAME_COLUMNS = 24, BYTES_COLUMNS = 12, WIDTH_MIN = 40 };
static const double MIB = 1048576;

/* Words filled into lines: the first starts at `column`, further lines at `indent`. */
static void add_words(struct buf *buf, const char *text, int column, int indent, int width)
{
    bool first = true;
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t len = strcspn(text, " ");
        char word[1024];
        snprintf(word, sizeof word, "%.*s", (int)(len < 1023 ? len : 1023), text);
        int columns = (int)text_columns(word);
        if (!first && column + 1 + columns > width) {
            buf_addf(buf, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            buf_addc(buf, ' ');
            column++;
        }
        buf_add(buf, word);
        column += columns;
        first = false;
        text += len;
    }
    buf_addc(buf, '\n');
}

static void add_mib(struct buf *buf, double bytes)
{
    if (isnan(bytes)) {
        buf_add(buf, "unknown");
        return;
    }
    text_add_grouped(buf, (int64_t)(bytes / MIB));
    buf_add(buf, " MiB");
}

/* The unit to stop, else the container, else the program. */
static void add_name(struct buf *buf, const char *comm, const struct device_owner *owner)
{
    size_t len = strlen(comm);
    if (text_ends_with(owner->unit, ".service") && !text_starts_with(owner->unit, "user@"))
        buf_add(buf, owner->unit);
    else if (owner->container[0])
        buf_addf(buf, "container %s", owner->container);
    else if (len)
        text_add_escaped(buf, TEXT_TERMINAL, comm, len, 32);
    else
        buf_add(buf, "(not to be seen)");
}

static void add_cell(struct buf *buf, const struct buf *text, int columns, bool right)
{
    int pad = columns - (int)text_columns(buf_text(text));
    buf_addf(buf, "%*s%s%*s", right && pad > 0 ? pad : 0, "", buf_text(text),
             !right && pad > 0 ? pad : 0, "");
}

static void add_row(struct buf *buf, const struct buf *name, const struct buf *bytes,
                    const char *words, int width)
{
    enum { AT = LEFT + NAME_COLUMNS + BYTES_COLUMNS + 3 };
    buf_addf(buf, "%*s", LEFT, "");
    add_cell(buf, name, NAME_COLUMNS, false);
    add_cell(buf, bytes, BYTES_COLUMNS, true);
    buf_add(buf, "   ");
    int over = (int)text_columns(buf_text(name)) - NAME_COLUMNS;
    add_words(buf, words, AT + (over > 0 ? over : 0), AT, width);
}

static void add_who(struct buf *buf, pid_t pid, const struct device_owner *owner)
{
    buf_addf(buf, "pid %d", (int)pid);
    if (owner->user[0])
        buf_addf(buf, ", user %s", owner->user);
}

/* "vLLM, llm-7b, port 8000, share 0.50" */
static void add_service_words(struct buf *buf, const struct doctor_service *service)
{
    const char *slash = strrchr(service->model, '/');
    buf_add(buf, service->kind->name);
    if (service->model[0])
        buf_addf(buf, ", %s", service->model[0] == '/' && slash ? slash + 1 : service->model);
    if (service->port)
        buf_addf(buf, ", port %d%s", service->port,
                 service->other_network         ? " in its container"
                 : service->listens == SEEN_NO  ? " (nobody listens)"
                 : service->listens == SEEN_NOT ? " (as told)"
                                                : "");
    if (service->detail[0])
        buf_addf(buf, ", %s", service->detail);
    if (service->place == PLACE_PARTIAL)
        buf_addf(buf, ", %.0f of %.0f MiB on the GPU", service->vram_bytes / MIB,
                 service->size_bytes / MIB);
    buf_add(buf, ", ");
    add_who(buf, service->pid, &service->owner);
}

static const char *compute_mode(const struct doctor_card *card)
{
    double mode = reading_value(card->state.compute_mode);
    return isnan(mode) ? "unknown"
           : mode == 0 ? "default"
           : mode == 2 ? "prohibited"
           : mode == 3 ? "exclusive"
                       : "other";
}

static void add_card_head(struct buf *buf, const struct doctor_report *report,
                          const struct doctor_card *card, int width)
{
    AUTO(buf_done) struct buf line = BUF_INIT(1024);
    double mig = reading_value(card->state.mig_enabled);
    const char *name = card->identity.name[0] ? card->identity.name : "NVIDIA GPU";
    text_add_escaped(&line, TEXT_TERMINAL, name, strlen(name), 80);
    buf_add(&line, ", ");
    add_mib(&line, reading_value(card->memory.total_bytes));
    buf_addf(&line, "%s, ", card->memory.unified ? " unified" : "");
    const char *library = strstr(report->driver, ", NVML"); /* for --json, and for nobody's eyes */
    text_add_escaped(&line, TEXT_TERMINAL, report->driver, strlen(report->driver),
                     library ? (size_t)(library - report->driver) : 200);
    buf_addf(buf, "%-*s", LEFT, card->name);
    add_words(buf, buf_text(&line), LEFT, LEFT, width);
    buf_clear(&line);
    buf_add(&line, "free ");
    add_mib(&line, reading_value(card->memory.free_bytes));
    buf_addf(&line, ", MPS %s, compute mode %s, MIG %s", card->mps ? "on" : "off",
             compute_mode(card),
             isnan(mig) ? "unknown"
             : mig > 0  ? "on"
                        : "off");
    if (card->identity.instance)
        buf_addf(&line, ", instance %s", card->identity.uuid);
    if (card->xid[0])
        buf_addf(&line, ", the kernel logged %s", card->xid);
    buf_addf(buf, "%*s", LEFT, "");
    add_words(buf, buf_text(&line), LEFT, LEFT, width);
}

static void add_holder(struct buf *buf, const struct doctor_report *report,
                       const struct doctor_holder *holder, int width)
{
    AUTO(buf_done) struct buf name = BUF_INIT(256), bytes = BUF_INIT(64), words = BUF_INIT(1024);
    const struct doctor_service *service =
        holder->service >= 0 ? &report->services[holder->service] : NULL;
    add_name(&name, service ? service->comm : holder->comm,
             service ? &service->owner : &holder->owner);
    add_mib(&bytes, holder->bytes);
    if (service && service->pid != holder->pid) {
        buf_addf(&words, "%s's worker, pid %d", service->kind->name, (int)holder->pid);
        if (service->model[0] || service->port)
            buf_add(&words, ": ");
        if (service->model[0] || service->port)
            add_service_words(&words, service);
    } else if (service) {
        add_service_words(&words, service);
    } else {
        add_who(&words, holder->pid, &holder->owner);
    }
    if (holder->sm_ratio > 0)
        buf_addf(&words, ", SMs %.0f %%", holder->sm_ratio * 100);
    add_row(buf, &name, &bytes, buf_text(&words), width);
}

static void add_cards(struct buf *buf, const struct doctor_report *report, int width)
{
    for (size_t i = 0; i < report->card_count; i++) {
        const struct doctor_card *card = &report->cards[i];
        add_card_head(buf, report, card, width);
        for (size_t h = 0; h < card->holder_count; h++)
            add_holder(buf, report, &card->holders[h], width);
        if (card->listable == SEEN_NO) {
            buf_addf(buf, "%*s", LEFT, "");
            add_words(buf,
                      "not every process on it can be told from here (a container sees its own "
                      "only): set SPICA_HOST_PROC, or ask on the host",
                      LEFT, LEFT, width);
        }
    }
    if (report->card_count == 0) {
        AUTO(buf_done) struct buf line = BUF_INIT(1024);
        buf_addf(&line, "no GPU: %s", report->driver_fault);
        add_words(buf, buf_text(&line), 0, LEFT, width);
    }
}

static const char *place_words(const struct doctor_report *report,
                               const struct doctor_service *service)
{
    static const char *const words[PLACE_COUNT_] = {
        [PLACE_UNKNOWN] = "where it computes can't be told from here",
        [PLACE_IDLE] = "no model on a card at the moment",
        [PLACE_STARTING] = "not ready: it answers nothing yet",
        [PLACE_CPU] = "on the CPU",
        [PLACE_PARTIAL] = "partly on the GPU",
        [PLACE_GPU] = "on the GPU",
    };
    if (service->place == PLACE_CPU && service->asks == ASKS_CPU)
        return "on the CPU, as told";
    if (service->place == PLACE_CPU && report->card_count)
        return "on the CPU";
    return words[service->place];
}

static bool is_on_card(const struct doctor_report *report, const struct doctor_service *service)
{
    for (size_t i = 0; i < report->card_count; i++)
        if (service->listed[i] == SEEN_YES)
            return true;
    return false;
}

static bool has_problem(const struct doctor_report *report, size_t service)
{
    for (size_t i = 0; i < report->problem_count; i++)
        if (report->problems[i].service == (int)service)
            return true;
    return false;
}

static void add_elsewhere(struct buf *buf, const struct doctor_report *report, int width)
{
    bool any = false;
    for (size_t i = 0; i < report->service_count; i++) {
        const struct doctor_service *service = &report->services[i];
        AUTO(buf_done) struct buf name = BUF_INIT(256), bytes = BUF_INIT(64);
        AUTO(buf_done) struct buf words = BUF_INIT(2048);
        if (is_on_card(report, service))
            continue;
        if (!any)
            buf_addf(buf, report->card_count ? "on no card\n" : "services\n");
        any = true;
        add_name(&name, service->comm, &service->owner);
        add_mib(&bytes, report->card_count && service->place != PLACE_UNKNOWN ? 0 : NAN);
        if (report->card_count == 0)
            buf_clear(&bytes);
        add_service_words(&words, service);
        buf_addf(&words, "; %s%s", has_problem(report, i) ? "✗ " : "",
                 place_words(report, service));
        if (service->asks == ASKS_CPU && service->asks_by[0])
            buf_addf(&words, " (%s)", service->asks_by);
        add_row(buf, &name, &bytes, buf_text(&words), width);
    }
    if (report->service_count == 0)
        buf_add(buf, "no service found that spica knows (vLLM, llama.cpp, Whisper, Ollama, "
                     "Triton)\n");
}

static void add_problem(struct buf *buf, const struct doctor_report *report,
                        const struct doctor_problem *problem, int width)
{
    AUTO(buf_done) struct buf line = BUF_INIT(2048);
    buf_add(&line, "✗ ");
    if (problem->service >= 0) {
        const struct doctor_service *service = &report->services[problem->service];
        add_name(&line, service->comm, &service->owner);
        buf_addf(&line, " (%s, pid %d): ", service->kind->name, (int)service->pid);
    } else if (problem->card >= 0) {
        buf_addf(&line, "%s: ", report->cards[problem->card].name);
    }
    buf_add(&line, problem->what);
    add_words(buf, buf_text(&line), 0, 2, width);
    static const char *const heads[] = {"cause: ", "fix:   ", "then:  "};
    const char *const texts[] = {problem->cause, problem->fix, problem->after};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        if (!texts[i][0])
            continue;
        buf_addf(buf, "  %s", heads[i]);
        add_words(buf, texts[i], 9, 9, width);
    }
}

void doctor_add_text(struct buf *buf, const struct doctor_report *report, int width)
{
    if (width < WIDTH_MIN)
        width = WIDTH_MIN;
    add_cards(buf, report, width);
    add_elsewhere(buf, report, width);
    if (report->more_services)
        buf_add(buf, "more services than are shown\n");
    buf_addc(buf, '\n');
    for (size_t i = 0; i < report->problem_count; i++)
        add_problem(buf, report, &report->problems[i], width);
    if (report->problem_count == 0)
        buf_add(buf, "Nothing wrong found.\n");
    else
        buf_addf(buf, "%zu problem%s.\n", report->problem_count,
                 report->problem_count == 1 ? "" : "s");
}

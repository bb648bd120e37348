/* The same facts for programs: what the screen says, unrounded, with null for what is not known.
 *
 * Every service carries what could not be read ("unread"), so that a monitor does not take silence
 * for health. Names of members are part of the interface; adding is free, renaming is not. */
#include "doctor/doctor.h"
#include "doctor/facts.h"

#include <math.h>
#include <string.h>

static json_t *owner_json(const struct device_owner *owner)
{
    const char *const texts[] = {owner->unit, owner->container, owner->user};
    static const char *const keys[] = {"unit", "container", "user"};
    json_t *object = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        json_object_set_new(object, keys[i], json_text_or_null(texts[i][0] ? texts[i] : NULL));
    return object;
}

static json_t *switch_json(double value)
{
    return isnan(value) ? json_null() : json_boolean(value > 0);
}

static json_t *holder_json(const struct doctor_holder *holder)
{
    json_t *object = owner_json(&holder->owner);
    json_object_set_new(object, "pid", json_integer(holder->pid));
    json_object_set_new(object, "command",
                        json_text_or_null(holder->comm[0] ? holder->comm : NULL));
    json_object_set_new(object, "memory_bytes", json_real_or_null(holder->bytes));
    json_object_set_new(object, "sm_ratio", json_real_or_null(holder->sm_ratio));
    json_object_set_new(object, "service",
                        holder->service >= 0 ? json_integer(holder->service) : json_null());
    return object;
}

static json_t *mode_json(double mode)
{
    static const char *const names[] = {"default", "exclusive thread", "prohibited", "exclusive"};
    const size_t count = ARRAY_LEN(names);
    return mode >= 0 && mode < (double)count ? json_string(names[(int)mode]) : json_null();
}

static json_t *card_json(const struct doctor_card *card)
{
    json_t *object = json_object(), *holders = json_array();
    json_object_set_new(object, "device", json_string(card->name));
    json_object_set_new(object, "uuid", json_text_or_null(card->identity.uuid));
    json_object_set_new(object, "name", json_text_or_null(card->identity.name));
    json_object_set_new(object, "memory_bytes",
                        json_real_or_null(reading_value(card->memory.total_bytes)));
    json_object_set_new(object, "free_bytes",
                        json_real_or_null(reading_value(card->memory.free_bytes)));
    json_object_set_new(object, "mps", json_boolean(card->mps));
    json_object_set_new(object, "mig", switch_json(reading_value(card->state.mig_enabled)));
    json_object_set_new(object, "compute_mode", mode_json(reading_value(card->state.compute_mode)));
    json_object_set_new(object, "fault", json_text_or_null(card->fault[0] ? card->fault : NULL));
    json_object_set_new(object, "xid", json_text_or_null(card->xid[0] ? card->xid : NULL));
    json_object_set_new(object, "all_processes_seen", json_boolean(card->listable == SEEN_YES));
    for (size_t i = 0; i < card->holder_count; i++)
        json_array_append_new(holders, holder_json(&card->holders[i]));
    json_object_set_new(object, "holders", holders);
    return object;
}

static json_t *asks_json(const struct doctor_service *service)
{
    return service->asks == ASKS_CPU   ? json_string("cpu")
           : service->asks == ASKS_GPU ? json_string("gpu")
                                       : json_null();
}

static json_t *devices_json(const struct doctor_report *report,
                            const struct doctor_service *service)
{
    json_t *devices = json_array();
    for (size_t i = 0; i < report->card_count; i++) {
        if (service->listed[i] != SEEN_YES)
            continue;
        json_t *device = json_object();
        json_object_set_new(device, "device", json_string(report->cards[i].name));
        json_object_set_new(device, "uuid", json_text_or_null(report->cards[i].identity.uuid));
        json_object_set_new(device, "memory_bytes", json_real_or_null(service->card_bytes[i]));
        json_array_append_new(devices, device);
    }
    return devices;
}

static json_t *unread_json(const struct doctor_service *service)
{
    const struct {
        const char *name;
        enum doctor_seen seen;
    } files[] = {
        {"environment", service->environ},
        {"libraries", service->maps},
        {"log", service->place == PLACE_GPU ? SEEN_YES : service->log},
        {"port", service->listens},
    };
    json_t *unread = json_array();
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (files[i].seen == SEEN_NOT)
            json_array_append_new(unread, json_string(files[i].name));
    return unread;
}

static json_t *service_json(const struct doctor_report *report,
                            const struct doctor_service *service)
{
    json_t *object = owner_json(&service->owner);
    json_object_set_new(object, "kind", json_string(service->kind->name));
    json_object_set_new(object, "pid", json_integer(service->pid));
    json_object_set_new(object, "port", service->port ? json_integer(service->port) : json_null());
    json_object_set_new(object, "model",
                        json_text_or_null(service->model[0] ? service->model : NULL));
    json_object_set_new(object, "placement", json_string(doctor_place_names[service->place]));
    json_object_set_new(object, "asked_for", asks_json(service));
    json_object_set_new(object, "asked_by",
                        json_text_or_null(service->asks_by[0] ? service->asks_by : NULL));
    json_object_set_new(object, "health_status",
                        service->health > 0 ? json_integer(service->health) : json_null());
    json_object_set_new(object, "devices", devices_json(report, service));
    json_object_set_new(object, "log",
                        json_text_or_null(service->log_from[0] ? service->log_from : NULL));
    json_object_set_new(object, "unread", unread_json(service));
    return object;
}

static json_t *problem_json(const struct doctor_report *report,
                            const struct doctor_problem *problem)
{
    json_t *object = json_object();
    json_object_set_new(object, "service",
                        problem->service >= 0 ? json_integer(problem->service) : json_null());
    json_object_set_new(object, "device",
                        problem->card >= 0 ? json_string(report->cards[problem->card].name)
                                           : json_null());
    json_object_set_new(object, "what", json_text_or_null(problem->what));
    json_object_set_new(object, "cause", json_text_or_null(problem->cause));
    json_object_set_new(object, "fix", json_text_or_null(problem->fix));
    json_object_set_new(object, "memory_after",
                        json_text_or_null(problem->after[0] ? problem->after : NULL));
    return object;
}

json_t *doctor_json(const struct doctor_report *report)
{
    json_t *object = json_object(), *devices = json_array(), *services = json_array(),
           *problems = json_array();
    json_object_set_new(object, "driver",
                        json_text_or_null(report->driver[0] ? report->driver : NULL));
    json_object_set_new(object, "driver_fault",
                        json_text_or_null(report->driver_fault[0] ? report->driver_fault : NULL));
    for (size_t i = 0; i < report->card_count; i++)
        json_array_append_new(devices, card_json(&report->cards[i]));
    for (size_t i = 0; i < report->service_count; i++)
        json_array_append_new(services, service_json(report, &report->services[i]));
    for (size_t i = 0; i < report->problem_count; i++)
        json_array_append_new(problems, problem_json(report, &report->problems[i]));
    json_object_set_new(object, "devices", devices);
    json_object_set_new(object, "services", services);
    json_object_set_new(object, "problems", problems);
    return object;
}

/* spica-study(5): the study file. Keys, types, ranges and defaults come from the tables that check
 * the file, engines, protocols, metrics and strategies from their own; the prose here says only
 * what no table can: how the parts go together.
 *
 * Rejected: a page kept by hand. It would be right on the day it was written.
 *
 * Invariant: every section of the file has a row in `prose`, in the order of spec_sections(). */
#include "cli/man.h"

#include "base/text.h"
#include "cli/command.h"
#include "cli/templates.h"
#include "search/search.h"
#include "spec/schema.h"

#include <string.h>

static const char description[] =
    "A study file says which services share the machine, which of their settings may change, how "
    "they "
    "are loaded, and what is wanted. `spica init` prints one to start from, `spica check` says "
    "what "
    "is wrong with one, with line, column, and what is allowed.\n\n"
    "The file is YAML, or JSON: one document of at most 1 MiB without tags, in which no key stands "
    "twice. Relative paths start at the file's own folder. Names of services and knobs are small "
    "letters, digits and `_`, a letter first, at most 32. A study has at most 32 services and 64 "
    "knobs; a knob at most 10,000 values.\n\n"
    "Times need a unit (`250ms`, `10s`, `45m`, `2h`), and so do sizes (`512MiB`, `4GiB`, `200MB`). "
    "Shares are written `5%` or `0.05`, rates `2/s`, `30/min` or `2`, growth `12MiB/min`.";

/* By the section's title; an empty section of the file stands for its top level. */
static const struct {
    const char *title, *shown, *text;
} prose[] = {
    {"", "The file",
     "The top level. Each section below is the mapping (or list) of that key.\n\n"
     "Devices are named `cpu`, `gpu0`, `gpu1`, ... in the order of PCI addresses, or by a GPU's "
     "UUID; at most 8 in a study. A list under `device` names equals: each trial runs on one of "
     "them. Services spread over several instead, by a `device` of their own or a knob of that "
     "name, need all of them in each trial; the two exclude each other."},
    {"neighbours[]", NULL,
     "Programs that run beside the services and stay: their work is no contention, and they are "
     "never "
     "touched. Each has exactly one of these keys."},
    {"services.NAME", NULL,
     "A program under test, which spica starts. It has either an `engine`, whose options may stand "
     "directly beside these keys (see ENGINES), a `command`, or a `container` "
     "(see CONTAINERS). Texts of command, container, args, "
     "environment, "
     "program and options may hold placeholders (see PLACEHOLDERS)."},
    {"services.NAME.ready", NULL, NULL},
    {"services.NAME.tls", NULL,
     "How the certificate of a service that speaks https is checked; `tls: true` is the mapping "
     "with its defaults. Everything that asks the service does so, always verified: the look for "
     "ready, the first request, the load, its metrics, guard and promotion. Requests go to this "
     "machine, whatever the name; the service's own key and certificate are its command's or its "
     "engine's `args`. A certificate that is not trusted is the verdict `env_fault`, at once."},
    {"services.NAME.knobs.KNOB", NULL, "One setting with its values; its forms are under KNOBS."},
    {"load.SERVICE", NULL,
     "The requests sent to one service. All services are loaded at once; one without an entry is "
     "started and asked once, but not loaded. Options of its protocol (see PROTOCOLS) may stand "
     "beside these keys.\n\n"
     "A `corpus` is a folder with a manifest.jsonl (one JSON object a line: audio_filepath, "
     "duration, "
     "text), or of audio files, each with its transcript in a .txt file of the same name. "
     "`prompts` is "
     "a file with one JSON object a line, {\"prompt\": \"...\"} or {\"messages\": [...]}, with an "
     "optional max_tokens.\n\n"
     "A `trace` is JSON lines with `timestamp` (ms) and what is known of `input_length`, "
     "`output_length` (tokens), `prompt`, or, for audio, `duration` (s) or `size` (bytes): the "
     "clip nearest to it is sent. Or a CSV file with columns as in public traces: Timestamp (s), "
     "Request tokens, Response tokens; or TIMESTAMP (date and time), ContextTokens, "
     "GeneratedTokens. Times count from the first."},
    {"load.SERVICE.rate", NULL, "The two ends of a ramp; a `rate` is otherwise one number."},
    {"load.SERVICE.think", NULL,
     "How long a client waits before it asks again; otherwise one number."},
    {"load.SERVICE.prompt_tokens", NULL,
     "Lengths that differ; the same keys under `output_tokens` and `turns`. Each of the three is "
     "otherwise one number."},
    {"load.SERVICE.prefixes", NULL, NULL},
    {"measure", NULL, NULL},
    {"goal", NULL,
     "`optimise` maps metrics (see METRICS) to what is good and what is bad. Each becomes a "
     "desirability from 0 to 1, linear between the two and logarithmic for times; their weighted "
     "geometric mean is the fitness. `require` is a list of expressions over metrics (see "
     "EXPRESSIONS): a candidate that fails one is `slow`, its fitness 0, and it can't win."},
    {"goal.optimise.METRIC", NULL, NULL},
    {"capacity.SERVICE", NULL,
     "How much a service can take while what is required of it holds: the largest number of "
     "clients, or the largest rate. It is searched by doubling and then halving the distance, "
     "with a window for each level, at the first run of each finalist and of the baseline in the "
     "final, after everything else was measured. Overload there changes no verdict; a service "
     "that does not survive it does. A list asks for several of one service."},
    {"production", NULL,
     "How the services run in production: a mapping of services to where each of them runs, and "
     "these keys. `spica promote` writes the winner there, once a person has approved what it "
     "shows. No measurement depends on it: it may be written or mended after the study has run, "
     "and is not stored with the results (in a study file in JSON it is). A service that it does "
     "not name is not promoted. "
     "Programs are run without a shell, from the study file's folder."},
    {"production.verify", NULL, NULL},
    {"production.SERVICE", NULL,
     "Exactly one of `unit`, `env_file` (with `unit`), `compose`, `kubernetes` and `command` says "
     "where it runs; nothing else is touched. Texts may hold placeholders (see PLACEHOLDERS), with "
     "the winner's values and this `port`; {dir} is not known here. Of a unit a drop-in "
     "10-spica.conf is written beside it, never the unit itself. A Compose override is used where "
     "it is named on the command line of Docker Compose, or beside the file as "
     "compose.override.yaml."},
    {"production.SERVICE.command", NULL, NULL},
    {"guard", NULL,
     "What `spica guard` watches in production, and what it may do. No measurement depends on it: "
     "it may be written or mended after the study has run, and is not stored with the results. "
     "Nothing is done to the machine unless `act` names it."},
    {"guard.watch.SERVICE", NULL,
     "Where a service runs, at most one of `unit`, `pid` and `container`; what is not given is "
     "production's. `none` instead of the mapping: it is not watched."},
    {"guard.rules[]", NULL,
     "`when` and `until` are expressions (see EXPRESSIONS) over figures (see FIGURES). A rule is "
     "fine, pending, an alarm or clearing, or it has no data: that is never taken for fine, and "
     "never is an alarm. An alarm that lasts is acted upon again: restart after its back-off, "
     "tier-down and tier-up after a window. Beside these there are rules that spica has itself "
     "(see ALARMS)."},
    {"guard.act.ACTION", NULL,
     "ACTION is `notify`; `tier-down` or `tier-up`, to the next tier of the service; `restart`; "
     "`rollback` of the last promotion; or `restudy`, a `spica run` whose winner awaits approval. "
     "An action without a value has the defaults."},
    {"guard.proxy", NULL, NULL},
    {"guard.proxy.attach", NULL, NULL},
    {"guard.fronts.SERVICE", NULL,
     "Clients ask HAProxy at `port`, which hands their requests to a server: the tier that guard "
     "has chosen, or an arm of the split. It has `tiers` or a `split`. Clients come in clear text; "
     "servers of a service with `tls` are asked over TLS, and the name that their certificate is "
     "held against must be a host's (HAProxy takes no address)."},
    {"guard.fronts.SERVICE.tiers.TIER", NULL, NULL},
    {"guard.fronts.SERVICE.split", NULL, NULL},
    {"guard.fronts.SERVICE.split.arms.ARM", NULL, NULL},
    {"guard.fronts.SERVICE.split.stick", NULL, NULL},
    {"search", NULL, "The strategies are under STRATEGIES. Without limits everything is tried."},
};

static void print_field(const struct spec_field *field)
{
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    AUTO(buf_done) struct buf facts = BUF_INIT(2048);
    spec_field_add_facts(&facts, field);
    buf_add(&text, field->help);
    buf_addc(&text, '.');
    if (facts.len)
        buf_addf(&text, " (%s)", buf_text(&facts));
    man_item(field->name, NULL);
    man_text(buf_text(&text));
}

static void print_section(const struct spec_section *section)
{
    const char *text = NULL, *shown = section->title;
    for (size_t i = 0; i < ARRAY_LEN(prose); i++)
        if (strcmp(prose[i].title, section->title) == 0) {
            text = prose[i].text;
            shown = prose[i].shown ? prose[i].shown : section->title;
        }
    man_subsection(shown);
    if (text)
        man_text(text);
    for (size_t i = 0; i < section->count; i++)
        print_field(&section->fields[i]);
}

/* ---- what no table says ---- */

static void print_knobs(void)
{
    static const char forms[] = "model: [tiny.en, base]             a list of values\n"
                                "threads: {from: 1, to: 8, step: 1}           1, 2, 3, ... 8\n"
                                "share: {from: 0.3, to: 0.6, steps: 4}        0.3, 0.4, 0.5, 0.6\n"
                                "batch: {from: 32, to: 512, steps: 5, scale: log}\n"
                                "                                             32, 64, ... 512\n"
                                "wait_policy: {values: {default: null, passive: PASSIVE}}\n"
                                "                                   labels with their texts\n"
                                "compute_type: {values: [int8, float32], when: server == fast}\n"
                                "cache: {values: [1, 2, 4], memory: more}\n"
                                "                                   more of it takes more memory\n"
                                "device: [gpu0, gpu1]               where the service runs\n";
    man_section("KNOBS");
    man_text("A knob is a setting with the values to try, in one of these forms:");
    man_example(forms);
    man_text(
        "A knob with the name of one of its engine's options sets that option. Any other must be "
        "named by a placeholder of its service, else it would change nothing, which is an error. "
        "One called `device` says where the service runs: its values are devices. "
        "A value of `null` leaves out what it is put into: the option, the argument, the "
        "variable.\n\n"
        "With `when` a knob exists only where the condition is true; a condition names knobs that "
        "stand above. Candidates that differ in a missing knob alone are one candidate.\n\n"
        "`memory` says what a larger number does to the memory that the service takes on its "
        "device, which tells from one value that does not fit that others can't either: `more`, "
        "`less`, or `share`, a larger part of the device with more room inside. Options of "
        "engines know it by themselves.");
    man_section("PLACEHOLDERS");
    man_item("{KNOB}", NULL);
    man_text("the value's text of a knob of the same service");
    man_item("{port}", NULL);
    man_text("the port that the service must listen on, on loopback; another one for each start");
    man_item("{dir}", NULL);
    man_text("a private folder of the service");
    man_item("{study}", NULL);
    man_text("the folder of the study file");
    man_item("{audio}, {prompt}, {text_file}", NULL);
    man_text(
        "in the `command` of a service whose `protocol` is `command-audio` or `command`, which "
        "is run for each request and never started as a server: the request's clip as a file, "
        "its text as it is, its text as a file. Such a service has no {port}, and a load");
}

static void print_containers(void)
{
    man_section("CONTAINERS");
    man_text("A `container` is podman's or docker's own command line; it stays attached, so that "
             "output and exit status are the server's:");
    man_example("container: [podman, run, --device, nvidia.com/gpu=all,\n"
                "            IMAGE, --port, \"{port}\"]\n");
    man_text(
        "Right after the word `run` come `--cidfile`, `--name spica-STUDY-SERVICE-PORT` "
        "unless one is given, `--network=host` unless a network is given or a port published, "
        "`--pull=never` unless `allow_download`, `--memory` for a `memory_limit`, labels, and `-e` "
        "for each variable that spica or `environment` sets. A variable of `null` is not given; "
        "what the image sets stays. A container that has ended is asked for its `State` and then "
        "removed, so it runs without `--rm`; one in the study is taken back by `--rm=false`.\n\n"
        "`-d`, `-t`, `-P`, `--cidfile`, `--replace` and `--restart` are refused, and so is a port "
        "published beyond loopback: write `-p 127.0.0.1:{port}:8000`. A `{dir}` is a path of the "
        "host: mount it to use it.");
}

static void print_expressions(void)
{
    static const char examples[] = "constraints:\n"
                                   "  - stt.threads + llm.threads <= 2\n"
                                   "  - stt.model in [tiny.en, base] or llm.slots == 1\n"
                                   "goal:\n"
                                   "  require: [\"stt.errors == 0\", \"llm.ttft.p95 < 2s\"]\n";
    man_section("EXPRESSIONS");
    man_text(
        "Conditions (`when`), `constraints` and `require` share one small language: `or`, `and`, "
        "`not`, one comparison (`==` `!=` `<` `<=` `>` `>=` `in` [a, b]), `+` `-` `*` `/`, "
        "parentheses, numbers with units, and words; \"quotes\" hold what is no word. Knobs are "
        "named SERVICE.KNOB, in a condition of the same service also KNOB; metrics "
        "SERVICE.METRIC.STATISTIC.");
    man_example(examples);
    man_text(
        "What is not there, such as a knob whose condition is false, is unknown: a constraint "
        "that comes out unknown does not apply; a requirement that comes out unknown is not met.");
}

static const char *unit_text(enum metric_unit unit)
{
    static const char *const units[] = {
        [UNIT_SECONDS] = "a time",
        [UNIT_BYTES] = "a size",
        [UNIT_RATIO] = "a share",
        [UNIT_COUNT] = "a number",
        [UNIT_PER_SECOND] = "a rate",
        [UNIT_BYTES_PER_SECOND] = "a size in a time, as in `12MiB/min`",
    };
    return units[unit];
}

static const char *who_has(unsigned source)
{
    static const struct {
        unsigned source;
        const char *text;
    } kinds[] = {
        {SOURCE_TEXT, "; LLM protocols, and others that stream text"},
        {SOURCE_TEXT | SOURCE_SPEECH, "; LLM and spoken answers, and others that stream text"},
        {SOURCE_AUDIO, "; protocols that send speech"},
        {SOURCE_AUDIO | SOURCE_SPEECH, "; protocols that send speech or answer with it"},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].source == source)
            return kinds[i].text;
    return "";
}

static void print_metrics(void)
{
    AUTO(buf_done) struct buf stats = BUF_INIT(1024);
    for (int i = STAT_P50; i < STAT_COUNT_; i++)
        buf_addf(&stats, "%s`%s`", i > STAT_P50 ? ", " : "", metric_stat_name(i));
    man_section("METRICS");
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    buf_addf(&text,
             "Written SERVICE.METRIC, as in `stt.wer`; those with one value per request need a "
             "statistic behind it, as in `stt.latency.p95`: %s. A percentile that the sample "
             "can't carry is unknown.",
             buf_text(&stats));
    man_text(buf_text(&text));
    for (int i = 0; i < METRIC_COUNT_; i++) {
        const struct metric_facts *facts = metric_facts((enum metric)i);
        man_item(facts->name, facts->distribution ? ".STATISTIC" : NULL);
        buf_clear(&text);
        buf_addf(&text, "%s. (%s; %s is better%s)", facts->meaning, unit_text(facts->unit),
                 facts->higher_is_better ? "more" : "less", who_has(facts->source));
        man_text(buf_text(&text));
    }
}

/* ---- options of engines and protocols ---- */

static void add_choices(struct buf *text, const struct spec_option *option)
{
    for (size_t i = 0; option->choices[i]; i++)
        buf_addf(text, "%s%s", i ? ", " : "", option->choices[i]);
}

static void add_option_facts(struct buf *text, const struct spec_option *option)
{
    static const char *const types[] = {
        [OPTION_TEXT] = "text",     [OPTION_INT] = "a whole number", [OPTION_REAL] = "a number",
        [OPTION_CHOICE] = "one of", [OPTION_BOOL] = "true or false", [OPTION_PATH] = "a path",
    };
    if (option->type == OPTION_CHOICE)
        add_choices(text, option);
    else
        buf_add(text, types[option->type]);
    if (option->min != 0 || option->max != 0)
        buf_addf(text, "; %.10g to %.10g", option->min, option->max);
    const char *cpu = option->cpu_value ? option->cpu_value : option->value;
    const char *gpu = option->gpu_value ? option->gpu_value : option->value;
    if (cpu && gpu && strcmp(cpu, gpu) == 0)
        buf_addf(text, "; default %s", cpu);
    else if (cpu || gpu)
        buf_addf(text, "; default%s%s%s%s%s", cpu ? " on the CPU " : "", cpu ? cpu : "",
                 cpu && gpu ? "," : "", gpu ? " on a GPU " : "", gpu ? gpu : "");
    if (option->memory != MEMORY_NONE)
        buf_addf(text, "; memory: %s", spec_memory_names[option->memory]);
    if (option->required)
        buf_add(text, "; required");
}

static void print_options(const struct spec_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        buf_addf(&text, "%s. (", options[i].help);
        add_option_facts(&text, &options[i]);
        buf_addc(&text, ')');
        man_item(options[i].name, NULL);
        man_text(buf_text(&text));
    }
}

static void print_engines(const struct spec_catalog *catalog)
{
    man_section("ENGINES");
    man_text(
        "Servers that spica knows: their flags, weights, ready check and log words. Options are "
        "fixed beside `engine`, or become knobs by a knob of that name; what has no default here "
        "and is not set is left to the server. Further flags go into `args`.\n\n"
        "To let a knob choose the server, write `engine`: \"{KNOB}\" and give each server's "
        "options (and its `program`) under `engines`, by its name.");
    for (size_t i = 0; i < catalog->engine_count; i++) {
        const struct spec_engine *engine = catalog->engines[i];
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        man_subsection(engine->name);
        buf_addf(&text, "%s. Role %s, protocol `%s`, ready when %s answers 200.", engine->help,
                 spec_role_names[engine->role], engine->protocol, engine->ready_path);
        man_text(buf_text(&text));
        print_options(engine->options, engine->option_count);
    }
}

static void print_protocols(const struct spec_catalog *catalog)
{
    man_section("PROTOCOLS");
    man_text("How a service is asked. Options stand under `load` of the service.");
    for (size_t i = 0; i < catalog->protocol_count; i++) {
        const struct spec_protocol *protocol = catalog->protocols[i];
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        man_subsection(protocol->name);
        buf_addf(&text, "%s. Needs `%s`.", protocol->help,
                 protocol->sources & SOURCE_AUDIO ? "corpus" : "prompts");
        man_text(buf_text(&text));
        print_options(protocol->options, protocol->option_count);
    }
}

static void print_search(void)
{
    man_section("BASELINE");
    man_text(
        "A value for each knob, by its full name: what runs today. It is always measured, first "
        "and again in the final, and everything is compared with it. A knob that does not exist "
        "with these values is left out. `baseline: none` compares the finalists with each other "
        "only.");
    man_section("STRATEGIES");
    for (size_t i = 0; i < search_strategy_count; i++) {
        man_item(search_strategies[i]->name, NULL);
        man_text(search_strategies[i]->help);
    }
    man_paragraph();
    man_text(
        "After the exploration comes the final: the best `finalists` and the baseline are "
        "measured `repeats` times each from cold starts, in turn and in drawn order. A finalist "
        "wins when its fitness is above the baseline's with 95 % confidence; else the baseline "
        "stays. The order of everything follows from `seed`, so that a stopped study goes on as "
        "if it had not stopped.");
}

void cli_print_man_study(void)
{
    man_title("spica-study", 5, "File Formats", "the study file of spica");
    man_section("DESCRIPTION");
    man_text(description);
    man_section("EXAMPLE");
    man_text("What `spica init` prints:");
    const struct cli_template *example = cli_template_find("voice-cpu");
    man_example(example ? example->text : cli_templates[0].text);
    man_section("KEYS");
    for (const struct spec_section *s = spec_sections(); s->title; s++)
        print_section(s);
    print_knobs();
    print_containers();
    print_expressions();
    print_metrics();
    cli_print_man_guard();
    print_engines(cli_catalog());
    print_protocols(cli_catalog());
    print_search();
    man_exit_status();
    man_section("SEE ALSO");
    man_text("`spica`(1)");
}

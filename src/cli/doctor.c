/* doctor: one look at this machine, needs no study; exit 6 when something is wrong. */
#include "cli/command.h"

#include "doctor/doctor.h"

#include <stdio.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"json", 'j', NULL, "print the same facts as JSON"},
    {NULL, 0, NULL, NULL},
};

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    static const struct doctor_options everything = {.proc_root = "/proc"};
    AUTO(doctor_report_free) struct doctor_report *report = NULL;
    if (!doctor_look(&everything, &report, err))
        return false;
    if (cli_flag(&cli_doctor, args, "json")) {
        AUTO_JSON json_t *json = doctor_json(report);
        if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0)
            return err_sys(err, "printing");
        putchar('\n');
    } else {
        AUTO(buf_done) struct buf text = BUF_INIT(4 << 20);
        doctor_add_text(&text, report, cli_width(STDOUT_FILENO));
        fputs(buf_text(&text), stdout);
    }
    if (doctor_problem_count(report))
        *ret_status = err_exit_status(ERR_PROBLEM);
    return true;
}

const struct cli_command cli_doctor = {
    .name = "doctor",
    .arguments = "",
    .arguments_max = 0,
    .help = "this machine: who holds the GPU, what fell to the CPU",
    .text =
        "Shows the GPUs, who holds their memory, the AI servers that run here (vLLM, llama.cpp, "
        "Whisper servers, Ollama, Triton), where they compute, what is wrong and how to put it "
        "right. Needs no study, changes nothing, and sends the servers a few harmless GETs. As "
        "root it sees more: other users' environments, logs and ports. Exits with 6 when a "
        "problem was found.",
    .options = options,
    .run = run,
};

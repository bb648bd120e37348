/* Every way to write a study wrong, and the one line that says so. Each row replaces one line of a
 * good study, so that line and column in the message are known. */
#include "spec/study.h"

#include "base/buf.h"

#include "check.h"
#include "fixture.h"

static const char *const good[] = {
    /*  1 */ "study: s",
    /*  2 */ "device: cpu",
    /*  3 */ "services:",
    /*  4 */ "  stt:",
    /*  5 */ "    engine: \"{server}\"",
    /*  6 */
    "    engines: {whisper-server: {model: \"{model}\"}, faster-whisper-server: {model: m}}",
    /*  7 */ "    environment: {A: \"{wait}\"}",
    /*  8 */ "    knobs:",
    /*  9 */ "      server: [whisper-server, faster-whisper-server]",
    /* 10 */ "      model: [tiny.en, base]",
    /* 11 */ "      compute_type: {values: [int8, float32], when: server == faster-whisper-server}",
    /* 12 */ "      wait: {values: {default: null, passive: P}}",
    /* 13 */ "  llm: {engine: vllm, model: m, knobs: {gpu_memory_utilization: [0.3, 0.5]}}",
    /* 14 */ "  cmd: {command: [x, \"{port}\", \"{n}\"], knobs: {n: [1, 2]}}",
    /* 15 */ "load:",
    /* 16 */ "  stt: {corpus: c}",
    /* 17 */ "  llm: {prompts: p, rate: 1/s}",
    /* 18 */ "measure: {window: 10s}",
    /* 19 */ "goal:",
    /* 20 */ "  optimise: {stt.latency.p95: {good: 100ms, bad: 1s}}",
    /* 21 */ "  require: [stt.errors == 0]",
    /* 22 */ "constraints: [cmd.n + llm.gpu_memory_utilization <= 2.3]",
    /* 23 */ "baseline: none",
    /* 24 */ "search: {strategy: grid}",
    /* 25 */ "seed: 7",
};

static const struct {
    int line; /* replaced; 0: none */
    const char *text, *message;
} rows[] = {
    /* keys and types */
    {2, "devices: cpu", "f:2:1: there is no key \"devices\"; did you mean device?"},
    {2, "colour: red",
     "f:2:1: there is no key \"colour\"; allowed: study, device, neighbours, services, "
     "constraints, "
     "load, measure, goal, capacity, baseline, search, production, guard, seed"},
    {1, "", "f:2:1: \"study\" is missing: the study's name: letters, digits, \".\", \"_\", \"-\""},
    {1, "study: [a]", "f:1:8: study: must be text, this is a list"},
    {1, "study:", "f:1:7: study: is empty: give a value or leave the key out"},
    {1, "study: ../x",
     "f:1:8: study: \"../x\": at most 64 letters, digits, \".\", \"_\" and \"-\", a "
     "letter or digit first"},
    {2, "device: tpu",
     "f:2:9: device: \"tpu\" is no device: cpu, gpu0, gpu1, ... or a UUID "
     "(GPU-...)"},
    {2, "device: gpu",
     "f:2:9: device: \"gpu\" is no device: cpu, gpu0, gpu1, ... or a UUID "
     "(GPU-...)"},
    {2, "neighbours: [{unit: a, pid: 3}]",
     "f:2:14: neighbours: each needs exactly one of unit, pid, command, unseen"},
    {2, "neighbours: [{unseen: 2}]",
     "f:2:23: neighbours.unseen: \"2\" is not a size with its unit, as in 512MiB"},
    {2, "neighbours: [{unseen: 1kB}]",
     "f:2:23: neighbours.unseen: 1kB is out of range: 1,024 KiB to 909 TiB"},
    {2, "neighbours: [{unseen: 2GiB, pid: 3}]",
     "f:2:14: neighbours: each needs exactly one of unit, pid, command, unseen"},
    {2, "neighbours: [{pid: 0}]", "f:2:20: neighbours.pid: 0 is out of range: 2 to 4,194,304"},
    {2, "neighbours: ollama",
     "f:2:13: neighbours: must be a list of at most 64, as in [{unit: "
     "ollama.service}]"},
    {2, "device: cpu\ndevice: cpu", "f:3:1: \"device\" is given twice: first in line 2"},
    {25, "seed: -1", "f:25:7: seed: -1 is out of range: 0 to 9e+18"},
    {25, "seed: 1.5", "f:25:7: seed: \"1.5\" is not a whole number"},
    /* services */
    {14, "  Cmd: {command: [x]}",
     "f:14:3: services: \"Cmd\" is no name: a small letter, then small "
     "letters, digits and \"_\", at most 32"},
    {14, "  cmd: {}",
     "f:14:3: cmd: needs \"engine\" (a known server) or \"command\" (any other "
     "program, as a list)"},
    {14, "  cmd: {command: [x], engine: vllm}",
     "f:14:3: cmd: has both \"engine\" and \"command\": one of them"},
    {14, "  cmd: {command: x --port 3}",
     "f:14:18: cmd.command: must be a list, as in [python3, server.py, \"{port}\"]: no shell "
     "splits "
     "one text into words"},
    {14, "  cmd: {command: []}", "f:14:18: cmd.command: needs a program"},
    {14, "  cmd: {command: [x, null]}",
     "f:14:22: cmd.command: an argument is empty: quote it "
     "(\"\") if that is meant"},
    {14, "  cmd: {command: [x, [y]]}", "f:14:22: cmd.command: must be text, this is a list"},
    {14, "  cmd: {command: [x], args: [y]}",
     "f:14:29: cmd: \"args\" goes with \"engine\"; here "
     "everything is in \"command\""},
    {14, "  cmd: {command: [x], environment: [A=1]}",
     "f:14:36: cmd.environment: must be a mapping of names to text, this is a list"},
    {14, "  cmd: {command: [x], environment: {A B: 1}}",
     "f:14:37: cmd.environment: \"A B\" is no variable's name: letters, digits and \"_\""},
    {14, "  cmd: {command: [x], environment: {A: {b: 1}}}",
     "f:14:40: cmd.environment.A: must be text, this is a mapping"},
    {14, "  cmd: {command: [x], protocol: plan}",
     "f:14:33: cmd.protocol: there is no protocol \"plan\"; did you mean plain? (there are "
     "openai-transcriptions, openai-chat, plain, named)"},
    {14, "  cmd: {command: [x], ready: {http: health}}",
     "f:14:30: cmd.ready: \"health\": an HTTP path starts with \"/\""},
    {14, "  cmd: {command: [x], ready: {within: 60}}",
     "f:14:39: cmd.ready.within: \"60\" is not a time with its unit, as in 30s or 5m"},
    {14, "  cmd: {command: [x], role: sttt}",
     "f:14:29: cmd.role: \"sttt\": must be one of other, stt, llm; did you mean stt?"},
    {14, "  cmd: {command: [x], on: gpu}",
     "f:14:27: cmd.on: \"gpu\" needs a GPU as the study's device, which is cpu"},
    {14, "  cmd: {command: [x], memory_limit: 4}",
     "f:14:37: cmd.memory_limit: \"4\" is not a size with its unit, as in 512MiB"},
    {14, "  cmd: {command: [x], fresh: maybe}",
     "f:14:30: cmd.fresh: \"maybe\": must be one of false, true"},
    {14, "  cmd: {command: [x], threads: 3}",
     "f:14:23: cmd: there is no key \"threads\"; allowed: role, engine, engines, program, command, "
     "container, args, environment, folder, protocol, path, on, device, answers, tls, ready, "
     "knobs, "
     "memory_limit, stop_grace, allow_download, fresh"},
    /* engines */
    {13, "  llm: {engine: vllmm, model: m}",
     "f:13:17: llm.engine: there is no engine \"vllmm\"; did you mean vllm? (there are "
     "llama-server, "
     "whisper-server, faster-whisper-server, vllm; \"command\" runs any other program)"},
    {13, "  llm: {engine: vllm}", "f:13:3: llm: vllm needs \"model\": a model's name"},
    {13, "  llm: {engine: vllm, model: m, enforce_eagr: true}",
     "f:13:33: llm: there is no key \"enforce_eagr\"; did you mean enforce_eager?"},
    {13, "  llm: {engine: vllm, model: m, enforce_eager: 1}",
     "f:13:48: llm.enforce_eager: \"1\": must be true or false"},
    {13, "  llm: {engine: vllm, model: m, gpu_memory_utilization: 2}",
     "f:13:57: llm.gpu_memory_utilization: 2 is out of range: 0.05 to 1"},
    {13, "  llm: {engine: vllm, model: m, knobs: {gpu_memory_utilization: [0.3, 1.5]}}",
     "f:13:71: llm.knobs.gpu_memory_utilization: 1.5 is out of range: 0.05 to 1"},
    {13, "  llm: {engine: vllm, model: m, knobs: {gpu_memory_utilisation: [0.3]}}",
     "f:13:41: llm.knobs.gpu_memory_utilisation: vllm has no such knob; did you mean "
     "gpu_memory_utilization?"},
    {13, "  llm: {engine: vllm, model: m, knobs: {speed: [1]}}",
     "f:13:41: llm.knobs.speed: vllm has no such option, and no {speed} uses it (in args or "
     "environment)"},
    {13, "  llm: {engine: vllm, model: m, knobs: {model: [a, b]}}",
     "f:13:41: llm.knobs.model: model is also fixed for vllm: leave one of them out, or write "
     "\"{model}\" there"},
    {13, "  llm: {engine: vllm, model: m, engines: {vllm: {}}}",
     "f:13:42: llm: \"engines\" needs a knob that chooses one, as in engine: \"{server}\""},
    {5, "    engine: \"{srv}\"", "f:5:13: stt.engine: stt has no knob \"srv\""},
    {6, "    engines: {whisper-servr: {model: a}}",
     "f:6:15: stt.engines: stt.server has no value \"whisper-servr\"; did you mean "
     "whisper-server?"},
    {6, "    engines: {whisper-server: {modle: a}}",
     "f:6:32: stt.engines.whisper-server.modle: whisper-server has no such option; did you mean "
     "model?"},
    {6, "    engines: {whisper-server: {model: \"{modl}\"}}",
     "f:6:39: stt.model: {modl}: stt has no knob of this name; did you mean model?"},
    {9, "      server: [whisper-server, parakeet, faster-whisper-server]",
     "f:9:32: stt.server: there is no engine \"parakeet\" (there are llama-server, whisper-server, "
     "faster-whisper-server, vllm; \"command\" runs any other program)"},
    /* knobs and placeholders */
    {14, "  cmd: {command: [x, \"{m}\"], knobs: {n: [1]}}",
     "f:14:22: cmd.command: {m}: cmd has no knob of this name (\"{{\" writes a brace)"},
    {14, "  cmd: {command: [x, \"{model_size}\"]}",
     "f:14:22: cmd.command: {model_size}: cmd has no knob of this name (\"{{\" writes a brace)"},
    {14, "  cmd: {command: [x, '{\"a\": 1']}",
     "f:14:22: cmd.command: \"{\"a\": 1\": a \"{\" opens no placeholder; \"{{\" writes a brace"},
    {14, "  cmd: {command: [x], knobs: {n: [1]}}",
     "f:14:31: cmd.knobs.n: nothing uses it: put {n} into command or environment"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: []}}",
     "f:14:38: cmd.n: is empty: give at least one value"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: 3}}",
     "f:14:41: cmd.knobs.n: must be a list of values or a range; a single value belongs directly "
     "under the service"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: [1, 1]}}",
     "f:14:45: cmd.n: \"1\" is given twice"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: [a b]}}",
     "f:14:42: cmd.n: \"a b\": a value has 1 to 256 bytes and no blanks; give it a short label: "
     "{values: {label: \"the text\"}}"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: [null]}}",
     "f:14:42: cmd.n: a value must be text or a number, this is nothing (null needs a label: "
     "{values: {default: null}})"},
    {14, "  cmd: {command: [x, \"{port}\"], knobs: {port: [1]}}",
     "f:14:41: cmd.knobs: {port} has a meaning of its own: name the knob otherwise"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {from: 1}}}",
     "f:14:38: cmd.n: a range needs \"to\""},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {from: 2, to: 1, step: 1}}}",
     "f:14:38: cmd.n: from must be below to"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {from: 1, to: 2}}}",
     "f:14:38: cmd.n: a range needs either \"step\" (the distance) or \"steps\" (the number)"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {from: 0, to: 2, scale: log, steps: 3}}}",
     "f:14:38: cmd.n: a log range starts above 0"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {from: 0, to: 1e6, step: 1}}}",
     "f:14:38: cmd.n: at most 10,000 values in a knob"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {from: 0, to: 1, step: 1e-300}}}",
     "f:14:38: cmd.n: at most 10,000 values in a knob"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {values: [1], from: 0}}}",
     "f:14:38: cmd.n: has both values and a range: one of them"},
    {14, "  cmd: {command: [x, \"{n}\"], knobs: {n: {valus: [1]}}}",
     "f:14:42: cmd.knobs.n: there is no key \"valus\"; did you mean values?"},
    /* conditions and constraints */
    {11, "      compute_type: {values: [int8], when: servr == whisper-server}",
     "f:11:44: stt.knobs.compute_type.when: \"servr\": there is no knob \"servr\"; did you mean "
     "server?"},
    {11, "      compute_type: {values: [int8], when: server == faster-whisper-servr}",
     "f:11:44: stt.knobs.compute_type.when: stt.server has no value \"faster-whisper-servr\"; did "
     "you mean faster-whisper-server?"},
    {11, "      compute_type: {values: [int8], when: compute_type == int8}",
     "f:11:44: stt.knobs.compute_type.when: \"compute_type\": a condition names only knobs that "
     "stand above it"},
    {9, "      server: {values: [whisper-server, faster-whisper-server], when: model == base}",
     "f:9:71: stt.knobs.server.when: \"model\": a condition names only knobs that stand above it"},
    {22, "constraints: [n <= 1]", "f:22:15: constraints: \"n\": say whose: cmd.n"},
    {22, "constraints: [cmd.n <= 0]",
     "f:22:15: constraints: \"cmd.n <= 0\" excludes every candidate"},
    {22, "constraints: [cmd.n <= 1, cmd.n >= 2]",
     "f:22:27: constraints: \"cmd.n >= 2\" together with those above it excludes every candidate"},
    {22, "constraints: [1 <= 2]", "f:22:15: constraints: \"1 <= 2\" names no knob"},
    {22, "constraints: [stt.model <= 2]",
     "f:22:15: constraints: column 11: a word has no order and no sum: a number is needed at \"<= "
     "2\""},
    {22, "constraints: cmd.n <= 1",
     "f:22:14: constraints: must be a list of comparisons, this is text"},
    /* load */
    {16, "  sst: {corpus: c}", "f:16:3: load: there is no service \"sst\"; did you mean stt?"},
    {16, "  stt: {}",
     "f:16:3: load.stt: openai-transcriptions needs \"corpus\", a folder of audio"},
    {17, "  llm: {rate: 1/s}",
     "f:17:3: load.llm: openai-chat needs \"prompts\", a JSONL file (or "
     "\"prompt_tokens\", how long made-up ones are)"},
    {17, "  cmd: {rate: 1/s}", "f:17:3: load.cmd: cmd has no protocol: give its service one"},
    {17, "  llm: {prompts: p, rate: 0/s}",
     "f:17:27: load.llm.rate: 0/s is out of range: 0.001 /s to 100,000 /s"},
    {17, "  llm: {prompts: p, rate: 1s}",
     "f:17:27: load.llm.rate: \"1s\" is not a rate, as in 2/s"},
    {17, "  llm: {prompts: p, arrivals: poisson}",
     "f:17:3: load.llm: poisson arrivals need a rate, as in rate: 2/s"},
    {17, "  llm: {prompts: p, arrivals: closed, rate: 1/s}",
     "f:17:3: load.llm: closed arrivals have no rate: each client waits for its answer"},
    {17, "  llm: {prompts: p, beam_size: 2}",
     "f:17:21: load.llm: there is no key \"beam_size\"; "
     "allowed: corpus, prompts, prompt_tokens, output_tokens, prefixes, turns, rate, arrivals, "
     "after, api_key_env, on, off, trace, speed, start, think, concurrency, timeout, "
     "reuse_connection, max_tokens, max_wer, normalise"},
    {16, "  stt: {corpus: c, beam_size: 200}",
     "f:16:31: load.stt.beam_size: 200 is out of range: "
     "1 to 20"},
    {16, "  stt: {corpus: c, model_name: \"{nodel}\"}",
     "f:16:32: load.stt.model_name: {nodel}: stt has no knob of this name; did you mean model?"},
    {17, "  llm: {prompts: p, concurrency: 0}",
     "f:17:34: load.llm.concurrency: 0 is out of range: 1 to 10,000"},
    /* what follows another, and keys */
    {17, "  llm: {after: sst}",
     "f:17:3: load.llm.after: there is no service \"sst\"; did you mean stt?"},
    {17, "  llm: {after: cmd}",
     "f:17:3: load.llm.after: cmd has no load, so there are no answers to follow"},
    {17, "  llm: {after: llm}",
     "f:17:3: load.llm.after: the services follow each other in a circle: one must send by itself"},
    {16, "  stt: {corpus: c, after: llm}",
     "f:16:27: load.stt.after: the protocol sends audio, and no answer gives that"},
    {17, "  llm: {after: stt, rate: 1/s}",
     "f:17:16: load.llm.after: what its requests say and when they leave comes from the other's "
     "answers: no rate, arrivals, concurrency, start, prompts or corpus beside it"},
    {17, "  llm: {prompts: p, arrivals: after}",
     "f:17:31: load.llm.arrivals: \"after\": must be one of closed, constant, poisson, bursts, "
     "ramp, "
     "trace"},
    {17, "  llm: {prompts: p, api_key_env: sk-123}",
     "f:17:34: load.llm.api_key_env: must be the name of an environment variable, as in "
     "OPENAI_API_KEY; the key itself does not belong into a file"},
    /* the shape of a load */
    {17, "  llm: {prompts: p, rate: {from: 1/s}}",
     "f:17:27: load.llm.rate: \"to\" is missing: the rate at the window's end"},
    {17, "  llm: {prompts: p, rate: {from: 0/s, to: 0/s}}",
     "f:17:27: load.llm.rate: one of its ends must be at least 0.001/s"},
    {17, "  llm: {prompts: p, arrivals: poisson, rate: {from: 1/s, to: 2/s}}",
     "f:17:46: load.llm.rate: a rate with two ends is a ramp: arrivals: ramp"},
    {17, "  llm: {prompts: p, arrivals: ramp, rate: 1/s}",
     "f:17:43: load.llm.rate: a ramp needs both ends, as in rate: {from: 1/s, to: 20/s}"},
    {17, "  llm: {prompts: p, arrivals: ramp}",
     "f:17:3: load.llm: ramp arrivals need a rate, as in rate: {from: 1/s, to: 20/s}"},
    {17, "  llm: {prompts: p, rate: 1/s, on: 2s}",
     "f:17:3: load.llm: bursts need both times, as in on: 2s, off: 8s"},
    {17, "  llm: {prompts: p, arrivals: poisson, rate: 1/s, on: 2s, off: 8s}",
     "f:17:55: load.llm.on: goes with arrivals: bursts"},
    {17, "  llm: {prompts: p, arrivals: trace}",
     "f:17:3: load.llm: trace arrivals need \"trace\", a file of times and sizes"},
    {17, "  llm: {trace: t, rate: 1/s}",
     "f:17:25: load.llm.rate: a trace has its own times: leave the rate out (\"speed\" plays it "
     "faster or slower)"},
    {17, "  llm: {trace: t, arrivals: poisson, rate: 1/s}",
     "f:17:16: load.llm.trace: goes with arrivals: trace"},
    {17, "  llm: {trace: t, turns: 3}",
     "f:17:26: load.llm.turns: a trace says itself when each request leaves: no sessions"},
    {17, "  llm: {prompts: p, rate: 1/s, speed: 2}", "f:17:39: load.llm.speed: goes with a trace"},
    {17, "  llm: {prompts: p, rate: 1/s, think: 2s}",
     "f:17:39: load.llm.think: goes with closed arrivals (without a rate) or with turns"},
    {17, "  llm: {prompts: p, think: {mean: 1s, from: 1s}}",
     "f:17:28: load.llm.think: needs one of: from and to, mean, median and p95"},
    {17, "  llm: {prompts: p, think: {median: 2s, p95: 1s}}",
     "f:17:28: load.llm.think: median must be below p95"},
    {17, "  llm: {prompt_tokens: {from: 2}}",
     "f:17:24: load.llm.prompt_tokens: needs one of: from and to, mean, median and p95, file"},
    {17, "  llm: {prompt_tokens: {from: 2, to: 2}}",
     "f:17:24: load.llm.prompt_tokens: from must be below to"},
    {17, "  llm: {prompt_tokens: 0}",
     "f:17:24: load.llm.prompt_tokens: 0 is out of range: 1 to 1,000,000"},
    {17, "  llm: {prompts: p, prompt_tokens: 100}",
     "f:17:36: load.llm.prompt_tokens: stands beside \"prompts\": one of them"},
    {17, "  llm: {prompts: p, output_tokens: 9, max_tokens: 9}",
     "f:17:36: load.llm.output_tokens: stands beside \"max_tokens\": one of them"},
    {17, "  llm: {prompts: p, prefixes: {count: 3}}",
     "f:17:31: load.llm.prefixes: \"tokens\" is missing: about how long each is"},
    {17, "  llm: {prompts: p, turns: {from: 2, to: 200}}",
     "f:17:28: load.llm.turns: at most 100 turns"},
    {17, "  llm: {prompts: {a.jsonl: 3, b.jsonl: 0}}",
     "f:17:40: load.llm.prompts: the weight of a file is a number over 0, at most 1,000,000"},
    {17, "  llm: {prompts: {a.jsonl: 300, b.jsonl: 1}}",
     "f:17:18: load.llm.prompts: a share of less than 1 % of the mix"},
    {16, "  stt: {corpus: c, turns: 2}",
     "f:16:27: load.stt.turns: a session goes on from the answers' text, and the protocol has "
     "none"},
    {16, "  stt: {corpus: c, prompt_tokens: 2}",
     "f:16:35: load.stt.prompt_tokens: the protocol sends audio"},
    {16, "  stt: {corpus: c, output_tokens: 2}",
     "f:16:35: load.stt.output_tokens: the protocol's answers have no tokens"},
    {16, "  stt: {corpus: c, start: 8s}",
     "f:16:3: load.stt.start: must be less than the warm-up and a quarter of the window: shorter "
     "windows explore"},
    /* measure, search */
    {18, "measure: {window: 10}",
     "f:18:19: measure.window: \"10\" is not a time with its unit, as in "
     "30s or 5m"},
    {18, "measure: {windw: 10s}",
     "f:18:11: measure: there is no key \"windw\"; did you mean "
     "window?"},
    {18, "measure: {repeats: 2}", "f:18:20: measure.repeats: 2 is out of range: 3 to 100"},
    {18, "measure: [10s]", "f:18:10: measure: must be a mapping (key: value), this is a list"},
    {18, "measure: {alone: 0.5s}",
     "f:18:18: measure.alone: must be 0s (not measured) or at least 1s"},
    {24, "search: {strategy: gird}",
     "f:24:20: search.strategy: there is no strategy \"gird\"; did "
     "you mean grid? (there are grid, random, tournament)"},
    {24, "search: {finalists: 0}", "f:24:21: search.finalists: 0 is out of range: 1 to 100"},
    /* capacity */
    {24, "capacity: 3",
     "f:24:11: capacity: must be a mapping of services, as in {llm: {up_to: 64}}"},
    {24, "capacity: {llmm: {}}",
     "f:24:12: capacity: there is no service \"llmm\"; did you mean llm?"},
    {24, "capacity: {cmd: {}}",
     "f:24:12: capacity.cmd: cmd has no load: say under \"load\" what it is asked"},
    {24, "capacity: {llm: {}}",
     "f:24:17: capacity.llm: needs \"require\": the goal requires nothing of llm that load could "
     "break"},
    {24, "capacity: {stt: {off: rate}}",
     "f:24:18: capacity.stt: there is no key \"off\"; did you mean of?"},
    {24, "capacity: {stt: {of: users}}",
     "f:24:22: capacity.stt.of: \"users\": must be one of concurrency, rate"},
    {24, "capacity: {stt: {up_to: 5/s}}",
     "f:24:25: capacity.stt.up_to: \"5/s\" is not a whole number of clients"},
    {24, "capacity: {stt: {up_to: 0}}",
     "f:24:25: capacity.stt.up_to: 0 is out of range: 1 to 10000"},
    {24, "capacity: {stt: {of: rate, up_to: many}}",
     "f:24:35: capacity.stt.up_to: \"many\" is not a rate, as in 50/s"},
    {24, "capacity: {stt: {of: rate, up_to: 1000000/s}}",
     "f:24:35: capacity.stt.up_to: 1000000/s is out of range: 0.001 /s to 100,000 /s"},
    {24, "capacity: {stt: {from: 65, up_to: 64}}",
     "f:24:24: capacity.stt.from: is above what \"up_to\" allows"},
    {24, "capacity: {stt: {window: 1h, within: 0s}}",
     "f:24:38: capacity.stt.within: 0s is out of range: 1.00 s to 277 h 47 min"},
    {24, "capacity: {stt: {require: []}}",
     "f:24:27: capacity.stt.require: must be a list of 1 to 64, as in [\"stt.latency.p95 < "
     "500ms\"]"},
    {24, "capacity: {stt: {require: [stt.latency < 1s]}}",
     "f:24:28: capacity.stt.require: \"stt.latency\": say which: "
     "stt.latency.p50, p90, p95, p99, mean, min, max"},
    {24, "capacity: {stt: {require: [stt.memory < 1GiB]}}",
     "f:24:28: capacity.stt.require: stt.memory is not measured while the capacity is searched"},
    {24, "capacity: {stt: {require: [stt.requests_per_s > 1/s]}}",
     "f:24:28: capacity.stt.require: stt.requests_per_s grows with the load and limits nothing"},
    {24, "capacity: {stt: {beside: false, require: [llm.ttft.p95 < 1s]}}",
     "f:24:43: capacity.stt.require: llm.ttft.p95 is of a service that is not loaded then (beside: "
     "false)"},
    {24, "capacity: {stt: [{}, {from: 2}]}",
     "f:24:22: capacity.stt: its concurrency is asked for twice"},
    /* goal */
    {21, "  require: [stt.p95 < 500ms]",
     "f:21:13: goal.require: \"stt.p95\": there is no metric \"p95\"; stt has latency, rtf, "
     "requests_per_s, wer, errors, error_ratio, memory, cpu, ready, first_request, "
     "memory_idle, memory_growth, host_memory, goodput, goodput_ratio (stt.latency.p95)"},
    {21, "  require: [stt.latency.p95 < 500]",
     "f:21:13: goal.require: column 17: a time on the left, a number without a unit on the right; "
     "a "
     "time needs its unit, as in 500ms"},
    {21, "  require: [stt.latency < 1s]",
     "f:21:13: goal.require: \"stt.latency\": say which: "
     "stt.latency.p50, p90, p95, p99, mean, min, max"},
    {21, "  require: [stt.errors.p95 == 0]",
     "f:21:13: goal.require: \"stt.errors.p95\": errors is a single value: write stt.errors"},
    {21, "  require: [stt.latency.p96 < 1s]",
     "f:21:13: goal.require: \"stt.latency.p96\": there is no statistic \"p96\"; there are p50, "
     "p90, "
     "p95, p99, mean, min, max"},
    {21, "  require: [sttt.errors == 0]",
     "f:21:13: goal.require: \"sttt.errors\": there is no service \"sttt\"; did you mean stt?"},
    {21, "  require: [llm.wer < 5%]",
     "f:21:13: goal.require: \"llm.wer\": there is no metric \"wer\"; llm has latency, ttft, "
     "content, itl, "
     "tokens_per_s, requests_per_s, errors, error_ratio, memory, cpu, ready, first_request, "
     "memory_idle, memory_growth, host_memory, goodput, goodput_ratio (llm.latency.p95)"},
    {21, "  require: [cmd.errors == 0]",
     "f:21:13: goal.require: \"cmd.errors\": cmd has no load, so no errors; it has memory, cpu, "
     "ready, memory_idle, host_memory"},
    {21, "  require: [stt.errors == none]",
     "f:21:13: goal.require: stt.errors is a number, \"none\" is none"},
    {21, "  require: [stt.errors = 0]",
     "f:21:13: goal.require: column 12: one \"=\" does not compare: write \"==\" at \"= 0\""},
    {21, "  require: stt.errors == 0",
     "f:21:12: goal.require: must be a list of at most 256, as in [\"stt.errors == 0\"]"},
    {20, "  optimise: {llm.goodput: {good: 9, bad: 0}}",
     "f:20:3: goal: llm.goodput needs a limit to keep: require one on a time of llm, as in "
     "\"llm.latency.p95 < 500ms\""},
    {20, "  optimise: {stt.latency.p95: {good: 1s, bad: 100ms}}",
     "f:20:14: goal.optimise.stt.latency.p95: good must be below bad: of latency, less is better"},
    {20, "  optimise: {stt.latency.p95: {good: 1s}}",
     "f:20:31: goal.optimise.stt.latency.p95: \"bad\" is missing: at this value or worse it is "
     "worth "
     "nothing"},
    {20, "  optimise: {stt.latency.p95: {good: 100, bad: 1s}}",
     "f:20:38: goal.optimise.stt.latency.p95.good: \"100\" is not a time with its unit, as in "
     "500ms "
     "or 2s"},
    {20, "  optimise: {stt.memory_growth: {good: 0, bad: 12MiB}}",
     "f:20:48: goal.optimise.stt.memory_growth.bad: \"12MiB\" is not a size in a time, as in "
     "12MiB/min"},
    {21, "  require: [stt.memory_growth < 12MiB]",
     "f:21:13: goal.require: column 19: a size in a time on the left, a size on the right"},
    {21, "  require: [cmd.memory_growth < 12MiB/min]",
     "f:21:13: goal.require: \"cmd.memory_growth\": cmd has no load, so no memory_growth; it has "
     "memory, cpu, ready, memory_idle, host_memory"},
    {20, "  optimise: {llm.tokens_per_s: {good: 1, bad: 2}}",
     "f:20:14: goal.optimise.llm.tokens_per_s: good must be above bad: of tokens_per_s, more is "
     "better"},
    {20, "", "f:21:3: goal: needs \"optimise\": without it no candidate is better than another"},
    /* baseline */
    {23, "",
     "f:1:1: baseline: is missing: say what runs today, a value for each knob, or "
     "\"baseline: none\""},
    {23, "baseline: {stt.server: whisper-server}", "f:23:11: baseline: stt.model is not given"},
    {23, "baseline: {stt.sever: whisper-server}",
     "f:23:12: baseline: there is no knob \"stt.sever\"; did you mean stt.server?"},
    {23, "baseline: {stt.model: small}",
     "f:23:23: baseline.stt.model: has no value \"small\"; it has tiny.en, base"},
    {23,
     "baseline: {stt.server: whisper-server, stt.model: base, stt.compute_type: int8, stt.wait: "
     "default, llm.gpu_memory_utilization: 0.50, cmd.n: 1}",
     "f:23:75: baseline: stt.compute_type does nothing here (its condition is: server == "
     "faster-whisper-server)"},
    {23,
     "baseline: {stt.server: whisper-server, stt.model: base, stt.wait: default, "
     "llm.gpu_memory_utilization: 0.5, cmd.n: 2}",
     "f:23:11: baseline: violates the constraint \"cmd.n + llm.gpu_memory_utilization <= 2.3\""},
    {23, "baseline: today",
     "f:23:11: baseline: must be a mapping of knobs to values, or none; this is "
     "text"},
    /* what reaches a terminal is made harmless */
    {20, "  optimise: {\"stt.\\ax\": {good: 1s, bad: 2s}}",
     "f:20:14: goal.optimise: \"stt.\\x07x\" is no metric: SERVICE.METRIC.STATISTIC, as in "
     "stt.latency.p95"},
    {22, "constraints: [\"cmd.n\\t<= 0\"]",
     "f:22:15: constraints: \"cmd.n <= 0\" excludes every candidate"},
    {2, "device: \"\\e[2J\"",
     "f:2:9: device: \"\\x1b[2J\" is no device: cpu, gpu0, gpu1, ... or a "
     "UUID (GPU-...)"},
};

static void build(int line, const char *text, struct buf *ret_text)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        buf_addf(ret_text, "%s\n", (int)i + 1 == line ? text : good[i]);
}

static void test_good(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    AUTO(spec_study_free) struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    build(0, NULL, &text);
    if (!spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, &err))
        fail_msg("%s", err.text);
}

static void test_bad(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct err err = ERR_INIT;
        build(rows[i].line, rows[i].text, &text);
        bool ok = spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, &err);
        if (ok || err.code != ERR_INPUT || strcmp(err.text, rows[i].message) != 0) {
            print_message("row %zu (%s):\n  is       %s\n  expected %s\n", i, rows[i].text,
                          ok ? "accepted" : err.text, rows[i].message);
            failed++;
        }
    }
    assert_int_equal(failed, 0);
}

static void test_files(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(buf_done) struct buf path = BUF_INIT(4096);
    buf_addf(&path, "%s/big.yaml", folder);
    struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    assert_false(spec_study_load(buf_text(&path), &fixture_catalog, &study, &err));
    assert_int_equal(err.code, ERR_MISSING);
    AUTO(fclose) FILE *file = fopen(buf_text(&path), "w");
    assert_non_null(file);
    for (int i = 0; i < 10 << 20; i += 16)
        fputs("0123456789abcde\n", file);
    fflush(file);
    err = ERR_INIT;
    assert_false(spec_study_load(buf_text(&path), &fixture_catalog, &study, &err));
    assert_int_equal(err.code, ERR_INPUT);
    assert_non_null(strstr(err.text, "big.yaml: longer than 1 MiB: a study file is a page or two"));
    err = ERR_INIT;
    assert_false(spec_study_load(folder, &fixture_catalog, &study, &err));
    assert_int_equal(err.code, ERR_INPUT);
    assert_null(study);
    check_remove_folder(folder);
}

/* 33 services, 65 knobs, over 2^64 combinations, values without end. */
static void test_many(void **state)
{
    (void)state;
    static const struct {
        int services, knobs, values;
        const char *message;
    } cases[] = {
        {33, 0, 0, "at most 32 services"},
        {1, 65, 1, "at most 64 knobs in a study"},
        {1, 21, 9, "too many combinations: all knobs together have over 2^64"},
        {1, 11, 9999, "at most 100,000 values in all knobs together"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct err err = ERR_INIT;
        buf_add(&text, "study: m\nservices:\n");
        for (int s = 0; s < cases[i].services; s++) {
            buf_addf(&text, "  s%d:\n    command: [x]\n    knobs:\n", s);
            for (int k = 0; k < cases[i].knobs; k++)
                buf_addf(&text, "      k%d: {from: 0, to: %d, step: 1}\n", k, cases[i].values);
        }
        CHECK_ROW(
            i, cases[i].message,
            !spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, &err));
        CHECK_ROW(i, err.text, strstr(err.text, cases[i].message) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

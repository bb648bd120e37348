/* All tables, once.
 *
 * Texts that come again and again (services, metrics, candidates, errors, transcripts of the same
 * clip) stand once in `text` and are referred to by id: a request row is some 60 bytes instead of
 * some 200. Texts that are a trial's own (its summary, its evidence) stand where they belong. Logs
 * have a table of their own, so that a pass over services does not read them.
 *
 * Requests are clustered by (stream, position), a stream being one service under one kind of load
 * in one trial: a trial is written by appending and read by one range, and a million rows need no
 * second index. Rejected: rowids with an index on the trial, half as large again.
 *
 * The views resolve the ids, for people with sqlite3 and for scripts that check the report; spica
 * itself reads the tables. Invariant: NULL is unknown, and nothing is ever updated or deleted,
 * but for the study's list of devices, which may grow (store/study.c). */
#include "store/schema.h"

static const char first[] =
    "CREATE TABLE text (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE) STRICT;"

    "CREATE TABLE study (id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, path TEXT,"
    " digest TEXT NOT NULL, body TEXT NOT NULL, device_id TEXT, device_name TEXT,"
    " device_versions TEXT, spica_version TEXT, seed INTEGER NOT NULL,"
    " created_wall_us INTEGER NOT NULL, cores INTEGER, memory_bytes REAL) STRICT;"

    "CREATE TABLE trial (number INTEGER PRIMARY KEY, candidate INTEGER NOT NULL REFERENCES text,"
    " purpose INTEGER NOT NULL REFERENCES text, round INTEGER NOT NULL, repeat INTEGER NOT NULL,"
    " retry_of INTEGER REFERENCES trial, verdict INTEGER NOT NULL REFERENCES text,"
    " service INTEGER REFERENCES text, summary TEXT, ruled_out INTEGER REFERENCES text,"
    " bound INTEGER REFERENCES text, fitness "
    "REAL,"
    " started_wall_us INTEGER NOT NULL, duration_s REAL, window_s REAL, contention_ratio REAL,"
    " lateness_p99_s REAL, worker_cpu_s REAL, own_cpu_s REAL, cold INTEGER NOT NULL,"
    " workers INTEGER, stall_p99_s REAL, stall_max_s REAL) STRICT;"

    "CREATE TABLE phase (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " name INTEGER NOT NULL REFERENCES text, start_s REAL, duration_s REAL, outcome TEXT,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE evidence (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " service INTEGER REFERENCES text, kind INTEGER REFERENCES text, body TEXT,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE reading (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " phase INTEGER NOT NULL REFERENCES text, service INTEGER REFERENCES text,"
    " device INTEGER REFERENCES text, name INTEGER NOT NULL REFERENCES text, value REAL,"
    " source INTEGER REFERENCES text, words TEXT,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE service (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " name INTEGER NOT NULL REFERENCES text, engine INTEGER REFERENCES text,"
    " version INTEGER REFERENCES text, command TEXT, environment INTEGER REFERENCES text,"
    " settings INTEGER REFERENCES text, started_in_trial INTEGER, ready_s REAL, first_request_s "
    "REAL,"
    " idle_memory_bytes REAL, peak_memory_bytes REAL, cpu_s REAL, exit_code INTEGER,"
    " signal INTEGER, placement INTEGER REFERENCES text, placement_evidence TEXT,"
    " host_memory_bytes REAL, device INTEGER REFERENCES text,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE log (trial INTEGER NOT NULL REFERENCES trial, service INTEGER NOT NULL"
    " REFERENCES text, body TEXT NOT NULL, PRIMARY KEY (trial, service)) STRICT;"

    "CREATE TABLE metric (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " service INTEGER NOT NULL REFERENCES text, mode INTEGER NOT NULL REFERENCES text,"
    " metric INTEGER NOT NULL REFERENCES text, stat INTEGER NOT NULL REFERENCES text, value REAL,"
    " low REAL, high REAL, count INTEGER, method INTEGER REFERENCES text,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE requirement (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " service INTEGER NOT NULL REFERENCES text, body INTEGER NOT NULL REFERENCES text,"
    " allowed REAL NOT NULL, requests INTEGER NOT NULL, over INTEGER NOT NULL, worth REAL,"
    " answer INTEGER NOT NULL REFERENCES text, counted INTEGER NOT NULL REFERENCES text,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE utterance (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " service INTEGER NOT NULL REFERENCES text, item INTEGER NOT NULL, heard INTEGER NOT NULL,"
    " words INTEGER NOT NULL, substitutions INTEGER NOT NULL, deletions INTEGER NOT NULL,"
    " insertions INTEGER NOT NULL, reference INTEGER REFERENCES text,"
    " hypothesis INTEGER REFERENCES text, PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE capacity (trial INTEGER NOT NULL REFERENCES trial, position INTEGER NOT NULL,"
    " service INTEGER NOT NULL REFERENCES text, kind INTEGER NOT NULL REFERENCES text,"
    " metric INTEGER REFERENCES text, beside INTEGER NOT NULL,"
    " outcome INTEGER NOT NULL REFERENCES text, low REAL, high REAL, unsure INTEGER NOT NULL,"
    " broke TEXT, memory_bytes REAL, seconds REAL,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE capacity_point (trial INTEGER NOT NULL REFERENCES trial,"
    " position INTEGER NOT NULL, search INTEGER NOT NULL, level REAL NOT NULL,"
    " outcome INTEGER NOT NULL REFERENCES text, window_s REAL, early INTEGER NOT NULL,"
    " requests INTEGER NOT NULL, failed INTEGER NOT NULL, p50 REAL, p50_low REAL, p50_high REAL,"
    " p95 REAL, p95_low REAL, p95_high REAL, answered_rps REAL, good_rps REAL, broke TEXT,"
    " PRIMARY KEY (trial, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE stream (id INTEGER PRIMARY KEY, trial INTEGER NOT NULL REFERENCES trial,"
    " service INTEGER NOT NULL REFERENCES text, mode INTEGER NOT NULL REFERENCES text,"
    " UNIQUE (trial, service, mode)) STRICT;"

    "CREATE TABLE request (stream INTEGER NOT NULL REFERENCES stream, position INTEGER NOT NULL,"
    " part INTEGER NOT NULL, sequence INTEGER NOT NULL, item INTEGER, error INTEGER REFERENCES "
    "text,"
    " http_status INTEGER, intended_ns INTEGER, sent_ns INTEGER, first_byte_ns INTEGER,"
    " first_token_ns INTEGER, last_token_ns INTEGER, done_ns INTEGER, tokens INTEGER,"
    " tokens_exact INTEGER, audio_s REAL, answer INTEGER REFERENCES text, word_errors INTEGER,"
    " words INTEGER, held_back INTEGER, turn_start_ns INTEGER, session INTEGER,"
    " turn INTEGER, first_content_ns INTEGER, PRIMARY KEY (stream, position))"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX request_failed ON request (stream) WHERE error IS NOT NULL;"

    "CREATE TABLE event (id INTEGER PRIMARY KEY, wall_us INTEGER NOT NULL, kind TEXT NOT NULL,"
    " detail TEXT) STRICT;"
    "CREATE TABLE decision (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;"

    "CREATE VIEW trials AS SELECT number, c.body AS candidate, p.body AS purpose, round, repeat,"
    " retry_of, v.body AS verdict, s.body AS service, summary, fitness, duration_s, window_s,"
    " contention_ratio, lateness_p99_s, cold, workers, stall_p99_s, stall_max_s FROM trial JOIN "
    "text c ON c.id = candidate"
    " JOIN text p ON p.id = purpose JOIN text v ON v.id = verdict LEFT JOIN text s ON s.id = "
    "service;"

    "CREATE VIEW metrics AS SELECT trial, s.body AS service, o.body AS mode, m.body AS metric,"
    " t.body AS stat, value, low, high, count, h.body AS method FROM metric"
    " JOIN text s ON s.id = service JOIN text o ON o.id = mode JOIN text m ON m.id = metric"
    " JOIN text t ON t.id = stat LEFT JOIN text h ON h.id = method;"

    "CREATE VIEW requirements AS SELECT trial, s.body AS service, b.body AS requirement, allowed,"
    " requests, over, worth, a.body AS answer, o.body AS counted FROM requirement"
    " JOIN text s ON s.id = service JOIN text b ON b.id = requirement.body"
    " JOIN text a ON a.id = answer JOIN text o ON o.id = counted;"

    "CREATE VIEW capacities AS SELECT trial, position, s.body AS service, k.body AS kind,"
    " m.body AS metric, beside, o.body AS outcome, low, high, unsure, broke, memory_bytes, seconds"
    " FROM capacity JOIN text s ON s.id = service JOIN text k ON k.id = kind"
    " LEFT JOIN text m ON m.id = metric JOIN text o ON o.id = outcome;"

    "CREATE VIEW capacity_points AS SELECT trial, position, search, level, o.body AS outcome,"
    " window_s, early, requests, failed, p50, p50_low, p50_high, p95, p95_low, p95_high,"
    " answered_rps, good_rps, broke FROM capacity_point JOIN text o ON o.id = outcome;"

    "CREATE VIEW requests AS SELECT trial, s.body AS service, o.body AS mode, part, sequence, item,"
    " e.body AS error, http_status, intended_ns, sent_ns, first_byte_ns, first_token_ns,"
    " last_token_ns, done_ns, tokens, tokens_exact, audio_s, a.body AS answer, word_errors, words, "
    "held_back, turn_start_ns, coalesce(session, sequence) AS session, coalesce(turn, 0) AS turn, "
    "first_content_ns"
    " FROM request JOIN stream ON stream.id = stream JOIN text s ON s.id = service"
    " JOIN text o ON o.id = mode LEFT JOIN text e ON e.id = error LEFT JOIN text a ON a.id = "
    "answer;";

const char *const store_schema_steps[STORE_VERSION] = {first};

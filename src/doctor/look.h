/* Inside doctor/ (and its tests): the facts of one service, gathered. */
#pragma once

#include "base/buf.h"
#include "doctor/facts.h"

/* From arguments alone: model, detail, port as told, wishes. */
void doctor_look_argv(struct doctor_service *service);
/* From the environment where the arguments say nothing. */
void doctor_look_environ(struct doctor_service *service, const struct buf *variables);
/* What Ollama has loaded, from /api/ps; false when it is no such text. */
bool doctor_look_loaded(struct doctor_service *service, const char *json, size_t len);
/* The first model of /v1/models. */
void doctor_look_models(struct doctor_service *service, const char *json, size_t len);

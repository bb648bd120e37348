/* Private to the HTTP client: what every handle of libcurl is told, and what its ends mean. With
 * http.c and http_get.c the only place that knows libcurl. */
#pragma once

#include "load/http.h"

#include <curl/curl.h>

struct load_http_headers {
    struct curl_slist *list; /* owned */
    size_t len;              /* of its lines */
};

/* For one host and anything it says; `why` (CURL_ERROR_SIZE bytes) gets curl's words. */
void load_http_easy_common(CURL *easy, char *why);
/* Where a call's requests go: its URL, pinned addresses, certificates, the key. Once per handle. */
void load_http_easy_site(struct load_http_call *call, const struct load_http_request *request);
/* What a transfer's end means. Puts a reason into call->why where curl's words say too little. */
enum load_http_end load_http_easy_end(struct load_http_call *call, CURLcode code);

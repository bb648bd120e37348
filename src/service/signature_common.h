/* The table for all programs; ends with a NULL text. */
#pragma once

#include "service/signature.h"

extern const struct service_signature signature_common[];

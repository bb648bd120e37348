/* Which transport a stream's requests take. HTTP is what nearly all services speak, so a protocol
 * says nothing unless it is another. */
#include "load/transport.h"

#include "load/plan.h"

static const struct load_transport *transport_of(const struct load_protocol *protocol)
{
    return protocol->transport ? protocol->transport : &load_transport_http;
}

const struct load_transport *load_stream_transport(const struct load_stream *stream)
{
    return transport_of(stream->protocol);
}

const char *load_protocol_scheme(const struct load_protocol *protocol)
{
    return transport_of(protocol)->scheme;
}

"""An MQTT broker that knows nothing of the product.

Where to look, in the order in which bytes come in:

- sockets: `listener` and `handshakes` (with `client_hello`, `tls`, `workers`) let connections in, `connection` reads
  and writes them; `poller` tells it when, `gathering` whether to let more of them come first, `traffic` is what all of
  them share;
- bytes and values: `codec`, `decode`, `encode`, `fields`, `properties`, `packets`, `reason_codes`, `errors`;
- one connection: `client` takes its packets in order; `connecting`, `subscribing` and `publisher` know the three that
  matter; `outgoing` writes messages for it; `trace` shows them;
- one client: `session`, with what waits for it in `deliveries`; all of them in `session_table`;
- messages: `exchange` takes a `message` in and gives it out; `router` and `subscriptions` know who wants a topic,
  `routing` who of them may have it, `retained` what is kept; `publication` is one of them on its way;
- rights: `permissions` asks the owner's authoriser and remembers;
- what outlives the process: `journal` collects `changes`;
- what time brings: `upkeep`, `sys_topics`;
- the border: `server` is what the owner has, `ports` what the owner gives, `limits` what everybody keeps to;
- plugins written for amqtt: `plugins/`.
"""

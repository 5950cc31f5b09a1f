#!/usr/bin/env python3
"""Runs TensorZero's gateway from its wheel, by `launch_tensorzero.py CONFIG.toml`, and prints its address.

The wheel starts the gateway for its own client (`patch_openai_client`), by this function, which has no public name.
"""

import signal
import sys

from tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(f"listening on {gateway.base_url}", flush=True)
signal.sigwait([signal.SIGTERM, signal.SIGINT])

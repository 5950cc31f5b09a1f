#!/usr/bin/env python3
"""Runs NVIDIA Switchyard's server from its wheel, by `launch_switchyard.py ROUTES.toml`, and prints its address."""

import signal
import sys

from switchyard_rust.server import Server

with Server(sys.argv[1]) as server:
    print(f"listening on {server.base_url}", flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])

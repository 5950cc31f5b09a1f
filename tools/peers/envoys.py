"""Envoy's configurations: what `pointsman render --access-log none` writes, and the same with another filter or none.

No access log in any of them: the other gateways write none. So Pointsman's filter sets no values for one either.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

WASM = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
EXT_PROC = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Where the filters of the peers say which cluster they chose.
CLUSTER_HEADER = "x-peer-cluster"
# The policy's models that the peers choose from, and the backend of each.
EASY = "gpu-small"
HARD = "gpu-large"
PINNED_MODEL = "llama-3.3-70b"

# Reads `model` as an operator would without a JSON library: Envoy's Lua has none.
LUA_CODE = """
local clusters = {["llama-3.1-8b"] = "gpu-small", ["llama-3.3-70b"] = "gpu-large", ["gpt-4.1"] = "serverless"}
function envoy_on_request(handle)
  local body = handle:body()
  local text = body and body:getBytes(0, body:length()) or ""
  local model = string.match(text, '"model"%s*:%s*"([^"]*)"')
  handle:headers():replace("x-peer-cluster", clusters[model] or "gpu-large")
  handle:clearRouteCache()
end
"""


@dataclass(frozen=True)
class Renderer:
    """Writes configurations for one mock."""

    cli: Path
    policy: Path
    mock: str
    folder: Path

    def render(self, name: str, port: int, module: Path, *, failover: str = "off", mode: str | None = None) -> Any:
        """The configuration of Envoy with the filter, as operators get it."""
        policy = json.loads(self.policy.read_text(encoding="utf-8"))
        for backend in policy["backends"]:
            backend["endpoint"] = f"http://{self.mock}"
        if mode:
            policy["mode"] = mode
        file = self.folder / f"{name}-policy.json"
        file.write_text(json.dumps(policy), encoding="utf-8")
        command = [self.cli, "render", "envoy", file, "--envoy-version", "1.40", "--failover", failover]
        command += ["--listen", f"127.0.0.1:{port}", "--module", module, "--access-log", "none"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"`pointsman render` failed: {done.stderr.strip()}")
        config = yaml.safe_load(done.stdout)
        config["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        return config

    def bare(self, name: str, port: int) -> Any:
        """Envoy without a filter that reads bodies: everything to the default cluster."""
        config = self.render(name, port, Path("unused.wasm"))
        filters = manager(config)["http_filters"]
        filters[:] = [entry for entry in filters if entry.get("typed_config", {}).get("@type") != WASM]
        return config

    def lua(self, name: str, port: int) -> Any:
        """Envoy with a Lua filter that reads `model` and picks a cluster."""
        typed = {"@type": LUA, "default_source_code": {"inline_string": LUA_CODE}}
        return with_filter(self.bare(name, port), {"name": "peer", "typed_config": typed})

    def ext_proc(self, name: str, port: int, socket: Path) -> Any:
        """Envoy with a filter that asks a service.

        Two messages each way: the headers, and the body when it is whole. Without the first, Envoy has sent the headers
        on by the time that the service wants to change them. The answer is not sent to the service
        (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/ext_proc_filter).
        """
        only_request = {
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "response_header_mode": "SKIP",
            "request_trailer_mode": "SKIP",
            "response_trailer_mode": "SKIP",
        }
        config = with_filter(
            self.bare(name, port),
            {
                "name": "peer",
                "typed_config": {
                    "@type": EXT_PROC,
                    "grpc_service": {"envoy_grpc": {"cluster_name": "peer-processor"}, "timeout": "60s"},
                    "processing_mode": only_request,
                    "message_timeout": "60s",
                },
            },
        )
        config["static_resources"]["clusters"].append(
            {
                "name": "peer-processor",
                "type": "STATIC",
                "connect_timeout": "1s",
                "load_assignment": {
                    "cluster_name": "peer-processor",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}],
                },
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": HTTP_OPTIONS,
                        "explicit_http_config": {"http2_protocol_options": {}},
                    }
                },
            }
        )
        return config

    def write(self, name: str, config: Any) -> Path:
        """Writes a configuration where Envoy reads it."""
        file = self.folder / f"{name}-envoy.json"
        file.write_text(json.dumps(config, indent=1), encoding="utf-8")
        return file


def manager(config: Any) -> Any:
    """The HTTP connection manager."""
    return config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def with_filter(config: Any, entry: dict[str, Any]) -> Any:
    """The configuration with one more filter, before the router, and a route to the cluster that it names."""
    filters = manager(config)["http_filters"]
    filters.insert(len(filters) - 1, entry)
    routes = manager(config)["route_config"]["virtual_hosts"][0]["routes"]
    routes.insert(
        len(routes) - 1,
        {
            "match": {"prefix": "/", "headers": [{"name": CLUSTER_HEADER, "present_match": True}]},
            "route": {"cluster_header": CLUSTER_HEADER, "timeout": "0s"},
        },
    )
    return config

"""What is measured: Envoy with and without Pointsman, other ways to route in Envoy, and other gateways.

Each in the settings that its makers name for production, as far as they matter on one core with nothing else to
talk to: no database, no telemetry, no access log.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from envoys import EASY, HARD, PINNED_MODEL, Renderer
from install import NPM_FILES, Installer, version
from processes import BenchError, Group, free_port, wait_for

HERE = Path(__file__).parent
# How long a peer may take until it says where it listens.
START_SECONDS = 90.0
# LiteLLM's proxy asks for a key that begins like this; it opens nothing.
KEY = "sk-bench"
API = "/v1/chat/completions"
# What our filter says of its decision.
OURS = "x-pointsman-model"


@dataclass(frozen=True)
class Setup:
    """What targets are started with."""

    renderer: Renderer
    installer: Installer
    envoy: Path
    module: Path
    floor: Path
    models: Path
    node: Path
    mock: str
    folder: Path


@dataclass(frozen=True)
class Target:
    """One thing to measure. `start` starts its processes and returns where it listens."""

    id: str
    label: str
    # What it does with a request, in a few words.
    decides: str
    version: Callable[[Setup], str]
    # Its settings, with where its makers name them.
    settings: str
    # What has to be installed for it; may fail with the reason.
    install: Callable[[Setup], Any]
    start: Callable[[Setup, Group], str]
    model: str = "auto"
    path: str = API
    headers: Callable[[Setup], dict[str, str]] = field(default=lambda setup: {})
    # A header of its answers that says that it decided, so that none is measured that only lets requests pass.
    proof: str | None = None


def run_envoy(setup: Setup, group: Group, config: Any, port: int) -> str:
    """One worker: one core."""
    file = setup.renderer.write(group.name, config)
    group.spawn([setup.envoy, "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warn"])
    return f"127.0.0.1:{port}"


def filtered(*, floor: bool = False, failover: str = "off", mode: str | None = None) -> Callable[[Setup, Group], str]:
    """Envoy with our filter or with the least one."""

    def start(setup: Setup, group: Group) -> str:
        port = free_port()
        module = setup.floor if floor else setup.module
        config = setup.renderer.render(group.name, port, module, failover=failover, mode=mode)
        return run_envoy(setup, group, config, port)

    return start


def bare(setup: Setup, group: Group) -> str:
    """Envoy alone."""
    port = free_port()
    return run_envoy(setup, group, setup.renderer.bare(group.name, port), port)


def lua(setup: Setup, group: Group) -> str:
    """Envoy with a Lua filter."""
    port = free_port()
    return run_envoy(setup, group, setup.renderer.lua(group.name, port), port)


def ext_proc(setup: Setup, group: Group) -> str:
    """Envoy with an external processor; the two share the core."""
    python = install_ext_proc(setup)
    # Relative, because a socket's path is short: both run in the repository's root.
    socket = Path("target/peers/run") / f"{group.name}.sock"
    socket.unlink(missing_ok=True)
    log = group.spawn([python, HERE / "ext_proc.py", socket, setup.models, "--easy", EASY, "--hard", HARD])
    wait_for(lambda: "listening" in log.read_text(errors="replace"), group, START_SECONDS, "the start of the processor")
    port = free_port()
    return run_envoy(setup, group, setup.renderer.ext_proc(group.name, port, socket), port)


def install_ext_proc(setup: Setup) -> Path:
    """Its Python."""
    return setup.installer.python("ext-proc", ("grpcio", "xds-protos", "onnxruntime", "tokenizers"))


def printed_address(group: Group, log: Path) -> str:
    """Where a server listens that says so itself."""

    def found() -> re.Match[str] | None:
        return re.search(r"listening on http://(127\.0\.0\.1:\d+)", log.read_text(errors="replace"))

    wait_for(lambda: found() is not None, group, START_SECONDS, "the start")
    address = found()
    if not address:
        raise BenchError("it did not say where it listens")
    return address.group(1)


def switchyard(setup: Setup, group: Group) -> str:
    """NVIDIA Switchyard's server, with the route that its makers show first."""
    python = install_switchyard(setup)
    client = f'format = "openai_chat"\nbase_url = "http://{setup.mock}/v1"\napi_key_env = "PEER_KEY"\n'
    targets = "".join(
        f'[targets.{name}]\nid = "{model}"\nllm_client = "mock"\n'
        for name, model in (("capable", HARD), ("efficient", EASY))
    )
    route = (
        '[routes.auto]\nid = "auto"\ntype = "stage_router"\ncapable_target = "capable"\n'
        'efficient_target = "efficient"\npicker = "efficient_first"\nconfidence_threshold = 0.5\n'
    )
    file = setup.folder / f"{group.name}.toml"
    file.write_text(f"schema_version = 1\n[llm_clients.mock]\n{client}{targets}{route}", encoding="utf-8")
    log = group.spawn([python, HERE / "launch_switchyard.py", file], {"PEER_KEY": "none"})
    return printed_address(group, log)


def install_switchyard(setup: Setup) -> Path:
    """Its Python."""
    return setup.installer.python("switchyard", ("nemo-switchyard",))


def tensorzero(setup: Setup, group: Group) -> str:
    """TensorZero's gateway."""
    python = install_tensorzero(setup)
    file = setup.folder / f"{group.name}.toml"
    file.write_text(
        "[gateway]\nobservability.enabled = false\ndisable_pseudonymous_usage_analytics = true\n"
        '[models.bench]\nrouting = ["mock"]\n[models.bench.providers.mock]\ntype = "openai"\n'
        f'api_base = "http://{setup.mock}/v1/"\nmodel_name = "bench"\napi_key_location = "none"\n',
        encoding="utf-8",
    )
    log = group.spawn([python, HERE / "launch_tensorzero.py", file], {"RUST_LOG": "warn"})
    return printed_address(group, log)


def install_tensorzero(setup: Setup) -> Path:
    """Its Python."""
    return setup.installer.python("tensorzero", ("tensorzero",))


def portkey(setup: Setup, group: Group) -> str:
    """Portkey's gateway as a Node server. It listens on every address; the benchmark asks on the loopback one."""
    server = install_portkey(setup) / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    port = free_port()
    group.spawn([setup.node, server, f"--port={port}", "--headless"], {"NODE_ENV": "production"})
    return f"127.0.0.1:{port}"


def install_portkey(setup: Setup) -> Path:
    """The folder of its package."""
    return setup.installer.npm("portkey")


def portkey_version(setup: Setup) -> str:
    """As package.json pins it."""
    return str(json.loads(NPM_FILES[0].read_text(encoding="utf-8"))["dependencies"]["@portkey-ai/gateway"])


def litellm(setup: Setup, group: Group) -> str:
    """LiteLLM's proxy, with a model and with its complexity router."""
    command = install_litellm(setup).parent / "litellm"

    def model(name: str) -> dict[str, Any]:
        parameters = {"model": f"openai/{name}", "api_base": f"http://{setup.mock}/v1", "api_key": "none"}
        return {"model_name": name, "litellm_params": parameters}

    tiers = {"SIMPLE": EASY, "MEDIUM": EASY, "COMPLEX": HARD, "REASONING": HARD}
    router = {"model": "auto_router/complexity_router", "complexity_router_config": {"tiers": tiers}}
    config = {
        "model_list": [model(EASY), model(HARD), {"model_name": "auto", "litellm_params": router}],
        "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True},
        "general_settings": {"master_key": KEY, "proxy_batch_write_at": 60},
    }
    file = setup.folder / f"{group.name}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    # The table of prices is read from the package, not fetched.
    environment = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    group.spawn([command, "--config", file, *options], environment)
    return f"127.0.0.1:{port}"


def install_litellm(setup: Setup) -> Path:
    """Its Python, without the part that is not open source: nothing here needs it."""
    return setup.installer.python("litellm", ("litellm[proxy]",), without=("litellm-enterprise",))


def bearer(_: Setup) -> dict[str, str]:
    """The key that LiteLLM's proxy asks for."""
    return {"authorization": f"Bearer {KEY}"}


def portkey_headers(setup: Setup) -> dict[str, str]:
    """Where Portkey's gateway sends a request is said by the request."""
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://{setup.mock}/v1", **bearer(setup)}


def nothing(_: Setup) -> None:
    """Nothing to install: make has done it."""


def envoy_version(setup: Setup) -> str:
    """By the binary's name, as make gives it."""
    return f"Envoy {setup.envoy.name.removeprefix('envoy-')}"


AS_RENDERED = "as `pointsman render envoy --access-log none` writes it"
LITELLM = (
    "one Uvicorn worker, `LITELLM_MODE=PRODUCTION`, `LITELLM_LOG=ERROR`, a master key, no database "
    "(https://docs.litellm.ai/docs/proxy/prod)"
)


def ext_proc_version(setup: Setup) -> str:
    """Of Envoy and of the server's library."""
    return f"{envoy_version(setup)}, grpcio {version('grpcio')}, onnxruntime {version('onnxruntime')}"


def switchyard_version(_: Setup) -> str:
    """As it is pinned."""
    return version("nemo-switchyard")


def tensorzero_version(_: Setup) -> str:
    """As it is pinned."""
    return version("tensorzero")


def litellm_version(_: Setup) -> str:
    """As it is pinned."""
    return version("litellm")


TARGETS = (
    Target("bare", "Envoy", "nothing", envoy_version, AS_RENDERED + ", without the filter", nothing, bare),
    Target(
        "floor",
        "Envoy with the least filter",
        "nothing; holds and edits the body",
        envoy_version,
        "the filter of `make bench-floor` in the place of ours",
        nothing,
        filtered(floor=True),
    ),
    Target(
        "pinned",
        "Pointsman, pinned model",
        "the backend",
        envoy_version,
        AS_RENDERED,
        nothing,
        filtered(),
        model=PINNED_MODEL,
        proof=OURS,
    ),
    Target(
        "auto",
        "Pointsman, `auto`",
        "model and backend, by the text",
        envoy_version,
        AS_RENDERED,
        nothing,
        filtered(),
        proof=OURS,
    ),
    Target(
        "shadow",
        "Pointsman, `auto`, shadow",
        "the same, and sends it elsewhere",
        envoy_version,
        AS_RENDERED + ', `"mode": "shadow"`',
        nothing,
        filtered(mode="shadow"),
        proof=OURS,
    ),
    Target(
        "failover",
        "Pointsman, `auto`, failover",
        "the same, with others to fall back on",
        envoy_version,
        AS_RENDERED
        + " with `--failover per-attempt`, its default for this version; the rows above are without failover",
        nothing,
        filtered(failover="per-attempt"),
        proof=OURS,
    ),
    Target(
        "lua",
        "Envoy with Lua",
        "the backend, by `model`",
        envoy_version,
        "a filter that finds `model` by a pattern",
        nothing,
        lua,
        model=PINNED_MODEL,
    ),
    Target(
        "ext-proc",
        "Envoy with ext_proc",
        "one of two backends, by the text",
        ext_proc_version,
        "headers, then the whole body; Python by asyncio (https://grpc.io/docs/guides/performance/#python) over "
        "a Unix socket, ONNX Runtime with one thread "
        "(https://onnxruntime.ai/docs/performance/tune-performance/threading.html); our classifier's file without its "
        "n-grams and features, so less work than ours; both processes on the one core",
        install_ext_proc,
        ext_proc,
    ),
    Target(
        "switchyard",
        "NVIDIA Switchyard",
        "one of two models, by turns and tools",
        switchyard_version,
        "`stage_router`, `efficient_first`, as its README shows; its makers call the server a demo",
        install_switchyard,
        switchyard,
        proof="x-model-router-selected-model",
    ),
    Target(
        "tensorzero",
        "TensorZero",
        "nothing",
        tensorzero_version,
        "observability off, so that no database is waited for "
        "(https://www.tensorzero.com/docs/deployment/optimize-latency-and-throughput)",
        install_tensorzero,
        tensorzero,
        model="tensorzero::model_name::bench",
        path="/openai/v1/chat/completions",
    ),
    Target(
        "portkey",
        "Portkey",
        "nothing",
        portkey_version,
        "`node build/start-server.js --headless`, `NODE_ENV=production` "
        "(https://github.com/Portkey-AI/gateway/blob/main/docs/installation-deployments.md)",
        install_portkey,
        portkey,
        model="bench",
        headers=portkey_headers,
    ),
    Target(
        "litellm",
        "LiteLLM",
        "nothing",
        litellm_version,
        LITELLM,
        install_litellm,
        litellm,
        model=EASY,
        headers=bearer,
    ),
    Target(
        "litellm-auto",
        "LiteLLM, complexity router",
        "a tier, by keywords and length",
        litellm_version,
        LITELLM + ", `auto_router/complexity_router`",
        install_litellm,
        litellm,
        headers=bearer,
        proof="x-litellm-complexity-router-tier",
    ),
)

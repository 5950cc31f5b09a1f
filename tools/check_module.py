#!/usr/bin/env python3
"""Checks that a proxy-wasm module loads on the oldest Envoy that is supported, and that it keeps its size budget.

It reads the import, code and data sections itself, so that it runs wherever Python 3 does. An import that Envoy 1.36 does
not export would refuse the whole module at start; Envoy 1.39 exports more, so only a check finds it early.
Prints one line of sizes; exits with 1 and one line for each problem otherwise.
"""

import argparse
import sys
from pathlib import Path

# What Envoy 1.36 to 1.38 export of WASI.
WASI = set(
    """args_get args_sizes_get clock_time_get environ_get environ_sizes_get fd_close fd_fdstat_get fd_fdstat_set_flags
    fd_prestat_dir_name fd_prestat_get fd_read fd_seek fd_write path_open poll_oneoff proc_exit random_get
    sched_yield""".split()
)

# proxy-wasm ABI 0.2.1.
PROXY = set(
    """proxy_log proxy_get_log_level proxy_get_current_time_nanoseconds proxy_set_tick_period_milliseconds
    proxy_get_configuration proxy_get_status proxy_get_buffer_bytes proxy_get_buffer_status proxy_set_buffer_bytes
    proxy_get_header_map_pairs proxy_get_header_map_size proxy_set_header_map_pairs proxy_get_header_map_value
    proxy_replace_header_map_value proxy_remove_header_map_value proxy_add_header_map_value proxy_get_property
    proxy_set_property proxy_get_shared_data proxy_set_shared_data proxy_register_shared_queue
    proxy_resolve_shared_queue proxy_dequeue_shared_queue proxy_enqueue_shared_queue proxy_continue_stream
    proxy_close_stream proxy_send_local_response proxy_clear_route_cache proxy_http_call proxy_set_effective_context
    proxy_call_foreign_function proxy_done proxy_grpc_call proxy_grpc_stream proxy_grpc_send proxy_grpc_cancel
    proxy_grpc_close proxy_define_metric proxy_get_metric proxy_record_metric proxy_increment_metric""".split()
)

FUNCTION_IMPORT, CODE, DATA, IMPORT = 0, 10, 11, 2


class Reader:
    def __init__(self, data, position=0):
        self.data, self.position = data, position

    def byte(self):
        self.position += 1
        return self.data[self.position - 1]

    def number(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def name(self):
        length = self.number()
        self.position += length
        return self.data[self.position - length : self.position].decode()


def read(data):
    """The sizes of the sections by number, and the imports as (module, name, kind)."""
    if data[:4] != b"\0asm":
        raise ValueError("not a WebAssembly module")
    reader, sizes, imports = Reader(data, 8), {}, []
    while reader.position < len(data):
        section = reader.byte()
        size = reader.number()
        end = reader.position + size
        sizes[section] = sizes.get(section, 0) + size
        if section == IMPORT:
            for _ in range(reader.number()):
                module, name, kind = reader.name(), reader.name(), reader.byte()
                imports.append((module, name, kind))
                if kind != FUNCTION_IMPORT:
                    break  # refused below; the rest need not be read
                reader.number()
        reader.position = end
    return sizes, imports


def problems(sizes, imports, total, arguments):
    for module, name, kind in imports:
        known = {"env": PROXY, "wasi_snapshot_preview1": WASI}.get(module, set())
        if kind != FUNCTION_IMPORT or name not in known:
            yield f"imports `{module}.{name}`, which Envoy 1.36 does not export: the module would not load"
    if sizes.get(CODE, 0) > arguments.max_code:
        yield f"has {sizes[CODE]} bytes of code where {arguments.max_code} are allowed"
    if total > arguments.max_total:
        yield f"has {total} bytes where {arguments.max_total} are allowed"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("--max-code", type=int, default=1_200_000, help="bytes of code (default: %(default)s)")
    parser.add_argument("--max-total", type=int, default=8_000_000, help="bytes altogether (default: %(default)s)")
    arguments = parser.parse_args()
    data = arguments.module.read_bytes()
    try:
        sizes, imports = read(data)
    except (ValueError, IndexError) as error:
        sys.exit(f"{arguments.module}: {error or 'the file is cut off'}")
    found = [f"{arguments.module}: {problem}" for problem in problems(sizes, imports, len(data), arguments)]
    if found:
        sys.exit("\n".join(found))
    print(f"{arguments.module}: {len(data)} bytes, code {sizes.get(CODE, 0)}, data {sizes.get(DATA, 0)}, {len(imports)} imports")


if __name__ == "__main__":
    main()

// A proxy-wasm host without a proxy: what the module asks of Envoy, answered from memory and counted.
//
// Source of the calls and their numbers: the proxy-wasm ABI 0.2.1 and crates/filter/src/hostcalls.rs.

const OK = 0, NOT_FOUND = 1, CAS_MISMATCH = 8;
const BUFFERS = { requestBody: 0, responseBody: 1, vmConfiguration: 6, pluginConfiguration: 7 };
const MAPS = { requestHeaders: 0, responseHeaders: 2 };

/** One module in one host. */
export class Host {
  #memory;
  #decoder = new TextDecoder();
  #encoder = new TextEncoder();
  #metrics = new Map();
  #shared = new Map();
  #cas = 1;

  /** Bytes of each buffer, by its number. */
  buffers = {};
  /** Headers of each map, by its number: lists of [name, value]. */
  headers = {};
  /** Filter state and other properties, by path. */
  properties = new Map();
  /** How often the module called each function of the host. */
  calls = new Map();
  /** What the module logged at level warn and above. */
  warnings = [];
  /** The local response of the current request, if the module sent one. */
  localResponse = null;

  /** A host of the module with these bytes, configured. */
  static async start(module, configuration) {
    const host = new Host();
    const { instance } = await WebAssembly.instantiate(module, host.#imports());
    host.exports = instance.exports;
    host.#memory = instance.exports.memory;
    host.exports._initialize();
    const bytes = host.#encoder.encode(configuration);
    host.buffers[BUFFERS.vmConfiguration] = new Uint8Array();
    host.buffers[BUFFERS.pluginConfiguration] = bytes;
    host.exports.proxy_on_context_create(1, 0);
    if (!host.exports.proxy_on_vm_start(1, 0)) throw new Error('the module did not start');
    if (!host.exports.proxy_on_configure(1, bytes.length)) {
      throw new Error(`the module refused its configuration:\n${host.warnings.join('\n')}`);
    }
    host.exports.proxy_on_tick(1);
    return host;
  }

  /** Bytes of the module's linear memory. */
  get memoryBytes() {
    return this.#memory.buffer.byteLength;
  }

  /** One request with its answer, as Envoy shows them to a filter; `observe` is given the name of each phase and what runs it. */
  exchange(id, { path, body, response, observe = (_, run) => run() }) {
    const { exports, buffers, headers } = this;
    const call = (phase, ...numbers) => observe(phase, () => exports[phase](id, ...numbers));
    this.localResponse = null;
    headers[MAPS.requestHeaders] = requestHeaders(path, body.length);
    headers[MAPS.responseHeaders] = [[':status', '200'], ['content-type', response.type]];
    buffers[BUFFERS.requestBody] = body;
    call('proxy_on_context_create', 1);
    call('proxy_on_request_headers', headers[MAPS.requestHeaders].length, 0);
    call('proxy_on_request_body', body.length, 1);
    if (this.localResponse === null) {
      call('proxy_on_response_headers', headers[MAPS.responseHeaders].length, 0);
      response.chunks.forEach((chunk, index) => {
        buffers[BUFFERS.responseBody] = chunk;
        call('proxy_on_response_body', chunk.length, Number(index + 1 === response.chunks.length));
      });
    }
    call('proxy_on_done');
    call('proxy_on_log');
    call('proxy_on_delete');
  }

  #bytes(at, size) {
    return new Uint8Array(this.#memory.buffer, at, size);
  }

  #text(at, size) {
    return this.#decoder.decode(this.#bytes(at, size));
  }

  /** Hands `bytes` to the module, which allocates them. */
  #give(bytes, out, outSize) {
    const at = bytes.length === 0 ? 0 : this.exports.proxy_on_memory_allocate(bytes.length);
    this.#bytes(at, bytes.length).set(bytes);
    const view = new DataView(this.#memory.buffer);
    view.setUint32(out, at, true);
    view.setUint32(outSize, bytes.length, true);
    return OK;
  }

  #pairs(map) {
    const pairs = this.headers[map] ?? [];
    const texts = pairs.flat().map((text) => this.#encoder.encode(text));
    const size = 4 + 4 * texts.length + texts.reduce((sum, text) => sum + text.length + 1, 0);
    const out = new Uint8Array(size);
    const view = new DataView(out.buffer);
    view.setUint32(0, pairs.length, true);
    texts.forEach((text, index) => view.setUint32(4 + 4 * index, text.length, true));
    let at = 4 + 4 * texts.length;
    for (const text of texts) {
      out.set(text, at);
      at += text.length + 1;
    }
    return out;
  }

  #imports() {
    const text = (at, size) => this.#text(at, size);
    const setU32 = (at, value) => new DataView(this.#memory.buffer).setUint32(at, value, true);
    const without = (map, name) => (this.headers[map] ?? []).filter(([other]) => other !== name);
    const functions = {
      proxy_log: (level, at, size) => {
        if (level >= 3) this.warnings.push(text(at, size));
        return OK;
      },
      proxy_get_log_level: (out) => (setU32(out, 2), OK),
      proxy_get_current_time_nanoseconds: (out) => {
        new DataView(this.#memory.buffer).setBigUint64(out, BigInt(Date.now()) * 1_000_000n, true);
        return OK;
      },
      proxy_set_tick_period_milliseconds: () => OK,
      proxy_get_buffer_bytes: (buffer, start, most, out, outSize) => {
        const bytes = this.buffers[buffer];
        return bytes ? this.#give(bytes.subarray(start, start + most), out, outSize) : NOT_FOUND;
      },
      proxy_set_buffer_bytes: (buffer, start, size, at, length) => {
        const before = this.buffers[buffer];
        const end = Math.min(start + size, before.length);
        const after = new Uint8Array(start + length + before.length - end);
        after.set(before.subarray(0, start));
        after.set(this.#bytes(at, length), start);
        after.set(before.subarray(end), start + length);
        this.buffers[buffer] = after;
        return OK;
      },
      proxy_get_header_map_pairs: (map, out, outSize) => this.#give(this.#pairs(map), out, outSize),
      proxy_get_header_map_value: (map, at, size, out, outSize) => {
        const name = text(at, size);
        const found = (this.headers[map] ?? []).find(([other]) => other === name);
        return found ? this.#give(this.#encoder.encode(found[1]), out, outSize) : NOT_FOUND;
      },
      proxy_replace_header_map_value: (map, at, size, value, valueSize) => {
        const name = text(at, size);
        this.headers[map] = [...without(map, name), [name, text(value, valueSize)]];
        return OK;
      },
      proxy_add_header_map_value: (map, at, size, value, valueSize) => {
        (this.headers[map] ??= []).push([text(at, size), text(value, valueSize)]);
        return OK;
      },
      proxy_remove_header_map_value: (map, at, size) => {
        this.headers[map] = without(map, text(at, size));
        return OK;
      },
      proxy_get_property: (at, size, out, outSize) => {
        const value = this.properties.get(text(at, size));
        return value ? this.#give(value, out, outSize) : NOT_FOUND;
      },
      proxy_set_property: (at, size, value, valueSize) => {
        this.properties.set(text(at, size), this.#bytes(value, valueSize).slice());
        return OK;
      },
      proxy_get_shared_data: (at, size, out, outSize, cas) => {
        const found = this.#shared.get(text(at, size));
        if (!found) return NOT_FOUND;
        setU32(cas, found.cas);
        return this.#give(found.bytes, out, outSize);
      },
      proxy_set_shared_data: (at, size, value, valueSize, cas) => {
        const key = text(at, size);
        const found = this.#shared.get(key);
        if (cas !== 0 && found && found.cas !== cas) return CAS_MISMATCH;
        this.#shared.set(key, { bytes: this.#bytes(value, valueSize).slice(), cas: ++this.#cas });
        return OK;
      },
      proxy_send_local_response: (status, _details, _detailsSize, body, bodySize) => {
        this.localResponse = { status, body: text(body, bodySize) };
        return OK;
      },
      proxy_define_metric: (_kind, at, size, out) => {
        const name = text(at, size);
        if (!this.#metrics.has(name)) this.#metrics.set(name, this.#metrics.size + 1);
        return setU32(out, this.#metrics.get(name)), OK;
      },
      proxy_increment_metric: () => OK,
      proxy_record_metric: () => OK,
      proxy_call_foreign_function: () => NOT_FOUND,
      proxy_http_call: (...numbers) => (setU32(numbers.at(-1), 1), OK),
      proxy_continue_stream: () => OK,
      proxy_close_stream: () => OK,
      proxy_set_effective_context: () => OK,
      proxy_done: () => OK,
    };
    const system = {
      random_get: (at, size) => (crypto.getRandomValues(this.#bytes(at, size)), 0),
      environ_sizes_get: (count, size) => (setU32(count, 0), setU32(size, 0), 0),
      environ_get: () => 0,
      clock_time_get: (_clock, _precision, out) => functions.proxy_get_current_time_nanoseconds(out),
      fd_write: (_file, _vectors, _count, written) => (setU32(written, 0), 0),
      sched_yield: () => 0,
      proc_exit: (code) => {
        throw new Error(`the module ended with ${code}`);
      },
    };
    // Whatever else the module imports is not for this filter: a call to it is a mistake of this host.
    const missing = (name) => () => {
      throw new Error(`the module called ${name}, which this host does not have`);
    };
    const counted = (all) => new Proxy({}, {
      get: (_, name) => {
        const call = all[name] ?? missing(name);
        return (...numbers) => {
          this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
          return call(...numbers);
        };
      },
    });
    return { env: counted(functions), wasi_snapshot_preview1: counted(system) };
  }
}

function requestHeaders(path, length) {
  return [
    [':authority', 'llm.example.com'],
    [':path', path],
    [':method', 'POST'],
    [':scheme', 'http'],
    ['user-agent', 'OpenAI/Python 2.8.0'],
    ['accept', 'application/json'],
    ['content-type', 'application/json'],
    ['content-length', String(length)],
    ['authorization', 'Bearer sk-0123456789abcdef0123456789abcdef'],
    ['x-forwarded-proto', 'http'],
    ['x-request-id', '0b7f3a5e-5f0e-4d8e-9d55-1f2f3c4d5e6f'],
  ];
}

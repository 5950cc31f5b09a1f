// `make profile`: where the time of a request goes inside the shipped module, under Node's V8.
//
//     node --no-liftoff tools/profile/profile.mjs MODULE POLICY PROMPTS [JSON]
//
// Each case is run in batches. Its time is the lower quartile over them, because other work on the machine only adds. V8's sampling
// profiler then divides it between functions; those of the module are told from those of the host here by their address. Allocations
// are counted afterwards, in a module of its own.
import { Session } from 'node:inspector/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { countAllocations } from './allocations.mjs';
import { Host } from './host.mjs';

const SIZES = [200, 1_000, 10_000, 100_000, 1_000_000];
/** How long a case runs, in milliseconds, before it counts and while it does. */
const WARM_UP_MS = 400;
const RUN_MS = 2_000;
/** The time between two samples, in microseconds. */
const SAMPLE_US = 100;
const FUNCTIONS = 25;
/** Different bodies of each size. */
const BODIES = 16;

const [modulePath, policyPath, promptsPath, jsonPath] = process.argv.slice(2);
if (!promptsPath) {
  console.error('usage: node --no-liftoff profile.mjs MODULE POLICY PROMPTS [JSON]');
  process.exit(2);
}
const prompts = readFileSync(promptsPath, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line).prompt);
const policy = JSON.parse(readFileSync(policyPath, 'utf8'));
const module = readFileSync(modulePath);
const plugin = { role: 'router', cluster_header: 'x-pointsman-cluster', policy };
const host = await Host.start(module, JSON.stringify(plugin));
const countingHost = await Host.start(countAllocations(module), JSON.stringify(plugin));
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });

let lastId = 1;
const results = [];
for (const size of SIZES) {
  results.push(await measure(`auto, ${bytes(size)}`, bodies(size, 'auto', false), whole()));
}
results.push(await measure('auto, 1 KB, streamed answer', bodies(1_000, 'auto', true), streamed()));
results.push(await measure('auto, a turn of a conversation', conversations(), whole()));
results.push(await measure('pinned, 1 KB', bodies(1_000, policy.models[0].name, false), whole()));
for (const result of results) print(result);
summarise(results);
if (jsonPath) writeFileSync(jsonPath, `${JSON.stringify({ module: modulePath, node: process.version, cases: results }, null, 1)}\n`);
session.disconnect();

/** Bodies of about `size` bytes: a system text, and one user turn of as many of the demo's prompts as fit. */
function bodies(size, model, stream) {
  return Array.from({ length: BODIES }, (_, index) => {
    const frame = (content) => JSON.stringify({
      model,
      messages: [{ role: 'system', content: 'You are a helpful assistant.' }, { role: 'user', content }],
      max_tokens: 512,
      ...(stream ? { stream: true } : {}),
    });
    const room = size - frame('').length;
    const texts = [];
    for (let at = index * 7, length = 0; length < room; at += 1) {
      const text = `${prompts[at % prompts.length]}\n`;
      length += JSON.stringify(text).length - 2;
      texts.push(text);
    }
    const content = texts.join('');
    return new TextEncoder().encode(frame(content.slice(0, Math.max(20, content.length - (frame(content).length - size)))));
  });
}

/** Two conversations of eight turns, as they come: a request for each turn, with all turns before it. */
function conversations() {
  const requests = [];
  for (let first = 0; first < 2; first += 1) {
    const messages = [{ role: 'system', content: 'You are a helpful assistant.' }];
    for (let turn = 0; turn < 8; turn += 1) {
      messages.push({ role: 'user', content: prompts[(first * 8 + turn) * 5 % prompts.length] });
      requests.push(new TextEncoder().encode(JSON.stringify({ model: 'auto', messages, max_tokens: 512 })));
      messages.push({ role: 'assistant', content: 'It depends on the price of the parts. '.repeat(6) });
    }
  }
  return requests;
}

function whole() {
  const body = {
    id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: 'It depends on the price of the parts. '.repeat(20) }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 210, completion_tokens: 180, total_tokens: 390 },
  };
  return { type: 'application/json', chunks: [new TextEncoder().encode(JSON.stringify(body))] };
}

function streamed() {
  const event = (extra) => `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm', ...extra })}\n\n`;
  const token = event({ choices: [{ index: 0, delta: { content: ' parts' }, finish_reason: null }] });
  const last = event({ choices: [], usage: { prompt_tokens: 210, completion_tokens: 180, total_tokens: 390 } });
  const texts = [...Array.from({ length: 60 }, () => token.repeat(3)), `${last}data: [DONE]\n\n`];
  return { type: 'text/event-stream', chunks: texts.map((text) => new TextEncoder().encode(text)) };
}

async function measure(name, all, response) {
  const run = () => {
    for (const body of all) host.exchange((lastId += 1), { path: '/v1/chat/completions', body, response });
  };
  until(WARM_UP_MS, run);
  host.calls.clear();
  await session.post('Profiler.start');
  const batches = until(RUN_MS, run).sort((left, right) => left - right);
  const { profile } = await session.post('Profiler.stop');
  const requests = batches.length * all.length;
  const micros = batches[Math.floor(batches.length / 4)] / all.length;
  if (host.localResponse) throw new Error(`${name}: answered with ${host.localResponse.status} ${host.localResponse.body}`);
  const calls = Object.fromEntries([...host.calls].sort((left, right) => right[1] - left[1]).map(([call, count]) => [call, count / requests]));
  return { name, requests, micros, ...divide(profile, micros), calls, allocations: allocations(all, response), memory_bytes: host.memoryBytes };
}

/** Allocations of a request and their bytes, in all and by phase; the second time that each request comes. */
function allocations(all, response) {
  const { exports } = countingHost;
  const read = () => [exports.allocations.value, exports.allocated_bytes.value].map(Number);
  const phases = new Map();
  const observe = (phase, run) => {
    const before = read();
    const result = run();
    const [count, size] = read().map((value, index) => (value - before[index]) / all.length);
    const known = phases.get(phase) ?? { count: 0, bytes: 0 };
    phases.set(phase, { count: known.count + count, bytes: known.bytes + size });
    return result;
  };
  for (const body of all) countingHost.exchange((lastId += 1), { path: '/v1/chat/completions', body, response });
  for (const body of all) countingHost.exchange((lastId += 1), { path: '/v1/chat/completions', body, response, observe });
  const sum = (key) => [...phases.values()].reduce((total, phase) => total + phase[key], 0);
  return { count: sum('count'), bytes: sum('bytes'), phases: Object.fromEntries(phases) };
}

/** Runs `run` for some milliseconds; gives the microseconds that each run took. */
function until(millis, run) {
  const times = [];
  const end = performance.now() + millis;
  while (performance.now() < end || times.length < 4) {
    const begin = performance.now();
    run();
    times.push((performance.now() - begin) * 1_000);
  }
  return times;
}

/** Divides the time of a request between module and host, the module's phases, and its functions, by samples. */
function divide(profile, micros) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  for (const node of profile.nodes) for (const child of node.children ?? []) nodes.get(child).parent = node;
  const isWasm = (node) => node.callFrame.url.startsWith('wasm:') || node.callFrame.functionName.startsWith('wasm-function');
  const samples = { wasm: 0, host: 0 };
  const functions = new Map();
  const phases = new Map();
  const add = (map, key, count) => map.set(key, (map.get(key) ?? 0) + count);
  for (const node of profile.nodes) {
    // Without the profiler's own frames.
    if (node.hitCount === 0 || node.callFrame.functionName === '(program)' || node.callFrame.functionName === '(idle)') continue;
    if (!isWasm(node)) {
      samples.host += node.hitCount;
      continue;
    }
    samples.wasm += node.hitCount;
    add(functions, readable(node.callFrame.functionName), node.hitCount);
    let at = node;
    while (at && !at.callFrame.functionName.startsWith('proxy_on_')) at = at.parent;
    add(phases, at?.callFrame.functionName ?? 'other', node.hitCount);
  }
  const all = samples.wasm + samples.host;
  const sorted = (map) => Object.fromEntries([...map].sort((left, right) => right[1] - left[1]).map(([key, count]) => [key, (count / all) * micros]));
  return { wasm_micros: (samples.wasm / all) * micros, phases: sorted(phases), functions: sorted(functions), samples: all };
}

/** A function's path, as far as its mangled name tells. */
function readable(name) {
  const words = [];
  // Rust's legacy mangling: lengths and names, the last one a hash.
  if (name.startsWith('_ZN')) {
    for (let at = 3; /\d/.test(name[at] ?? ''); ) {
      const [length] = name.slice(at).match(/^\d+/);
      at += length.length;
      words.push(name.slice(at, at + Number(length)));
      at += Number(length);
    }
    words.pop();
  } else if (name.startsWith('_R')) {
    // The v0 mangling: enough to recognise the standard library's functions.
    for (const [, length, rest] of name.matchAll(/(\d+)_?([a-z_][A-Za-z0-9_]*)/g)) words.push(rest.slice(0, Number(length)));
  }
  const symbols = [['$LT$', '<'], ['$GT$', '>'], ['$u20$', ' '], ['$RF$', '&'], ['$C$', ','], ['..', '::']];
  const plain = (word) => symbols.reduce((text, [from, to]) => text.replaceAll(from, to), word).replace(/^_/, '');
  return words.length > 0 ? words.map(plain).join('::') : name;
}

function bytes(size) {
  return size < 1_000_000 ? `${size / 1_000} KB` : `${size / 1_000_000} MB`;
}

function print(result) {
  console.log(`\n${result.name}: ${result.micros.toFixed(1)} µs a request, ${result.wasm_micros.toFixed(1)} of them in the module (${result.requests} requests)`);
  const rows = (all, most) => Object.entries(all).slice(0, most);
  console.log('  phases');
  for (const [name, micros] of rows(result.phases, 12)) console.log(`  ${micros.toFixed(2).padStart(9)} µs  ${name}`);
  console.log('  functions');
  for (const [name, micros] of rows(result.functions, FUNCTIONS)) console.log(`  ${micros.toFixed(2).padStart(9)} µs  ${name.slice(0, 110)}`);
  console.log('  calls to the host');
  console.log(`    ${rows(result.calls, 20).map(([name, count]) => `${name.replace('proxy_', '')} ${Number(count.toFixed(2))}`).join(', ')}`);
  console.log(`  allocations: ${result.allocations.count.toFixed(1)}, ${Math.round(result.allocations.bytes)} bytes`);
  const phases = Object.entries(result.allocations.phases).filter(([, { count }]) => count > 0);
  console.log(`    ${phases.map(([name, { count }]) => `${name.replace('proxy_', '')} ${Number(count.toFixed(2))}`).join(', ')}`);
}

function summarise(all) {
  console.log('\ncase                            µs in the module   with the stub host   host calls   allocations');
  for (const { name, micros, wasm_micros: wasm, calls, allocations: { count: allocated } } of all) {
    const count = Object.values(calls).reduce((sum, value) => sum + value, 0);
    console.log(`${name.padEnd(32)}${wasm.toFixed(1).padStart(16)}${micros.toFixed(1).padStart(21)}${count.toFixed(1).padStart(13)}${allocated.toFixed(1).padStart(14)}`);
  }
}

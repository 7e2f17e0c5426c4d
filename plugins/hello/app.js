// The smallest whole app: connects, shows the tools of its tenant, calls one. The page's own policy allows
// no inline scripts but the configuration, so the code is here.

const { appId, tenantId, wsUrl } = window.__MCP_CONFIG__;
const AGAIN_MS = 2000;
const element = (id) => document.getElementById(id);
const waiting = new Map();
let socket;
let number = 0;

// Says something to the hub; answers the id of the message.
function say(type, data = {}) {
  const message_id = `${appId}-${++number}`;
  socket.send(JSON.stringify({ type, data, timestamp: Date.now(), message_id }));
  return message_id;
}

// Calls a tool and waits for its result.
function call(tool_name, args = {}) {
  return new Promise((resolve, reject) => {
    waiting.set(say("tool_call", { tool_name, arguments: args }), { resolve, reject });
  });
}

// Ends the wait for an answer.
function settle(data, how, value) {
  waiting.get(data.correlation_id)?.[how](value);
  waiting.delete(data.correlation_id);
}

function list(id, texts) {
  element(id).replaceChildren(...texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

const hears = {
  app_state({ available_tools, servers_status }) {
    list("tools", available_tools.map((tool) => `${tool.name}: ${tool.definition.description ?? ""}`));
    list("servers", Object.entries(servers_status).map(([name, state]) => `${name}: ${state}`));
    element("uptime").disabled = !available_tools.some((tool) => tool.name === "monitor.get_uptime");
  },
  tool_result: (data) => settle(data, "resolve", data.result),
  tool_error: (data) => settle(data, "reject", new Error(data.error)),
  // A server went, came or offers something else: ask how everything is.
  server_event: () => say("app_ready"),
  error: (data) => console.warn(data.error, data.details),
};

function connect() {
  socket = new WebSocket(wsUrl);
  socket.onopen = () => { element("state").textContent = "connected"; };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    hears[message.type]?.(message.data);
  };
  socket.onclose = () => {
    element("state").textContent = "not connected; trying again";
    element("uptime").disabled = true;
    for (const { reject } of waiting.values()) reject(new Error("the connection was lost"));
    waiting.clear();
    setTimeout(connect, AGAIN_MS);
  };
}

element("tenant").textContent = tenantId;
element("uptime").onclick = async () => {
  try {
    const result = await call("monitor.get_uptime");
    element("answer").textContent = JSON.stringify(result.structuredContent ?? result.content, null, 2);
  } catch (error) {
    element("answer").textContent = error.message;
  }
};
connect();

// The smallest whole app: connects, shows the tools of its tenant, calls one. The page's own policy allows
// no inline scripts but the configuration, so the code is here.

const { appId, tenantId, wsUrl } = window.__MCP_CONFIG__;
const TOOL = "monitor.get_uptime";
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

const hears = {
  app_state({ available_tools, servers_status }) {
    element("tools").replaceChildren(...available_tools.flatMap(described));
    element("servers").replaceChildren(...Object.entries(servers_status).map(stated));
    const isThere = available_tools.some(({ name }) => name === TOOL);
    element("uptime").disabled = !isThere;
    element("hint").textContent = isThere ? `Calls the tool ${TOOL}.` : `There is no tool ${TOOL} here.`;
  },
  tool_result: (data) => settle(data, "resolve", data.result),
  tool_error: (data) => settle(data, "reject", new Error(data.error)),
  // A server went, came or offers something else: ask how everything is.
  server_event: () => say("app_ready"),
  error: (data) => console.warn(data.error, data.details),
};

function connect() {
  socket = new WebSocket(wsUrl);
  socket.onopen = () => mark(element("state"), "connected");
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    hears[message.type]?.(message.data);
  };
  socket.onclose = () => {
    mark(element("state"), "lost", "not connected; trying again");
    element("uptime").disabled = true;
    for (const { reject } of waiting.values()) reject(new Error("the connection was lost"));
    waiting.clear();
    setTimeout(connect, AGAIN_MS);
  };
}

// The rest is how it looks. Texts of servers go in as texts, never as HTML.

function made(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

// Shows a state in words, and by the style sheet in colour.
function mark(place, state, text = state) {
  place.className = "state";
  place.dataset.state = state;
  place.textContent = text;
  return place;
}

function described({ name, definition }) {
  return [made("dt", name), made("dd", definition.description ?? "")];
}

function stated([name, state]) {
  const item = made("li", name);
  item.append(mark(made("span"), state));
  return item;
}

// Shows an answer: in a line, and whole where there is more to it.
function show(line, whole = "") {
  element("line").textContent = line;
  element("whole").textContent = whole;
  element("whole").hidden = !whole;
  element("answer").hidden = false;
}

// A time in its two largest units.
function spoken(seconds) {
  const units = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const parts = units.map(([unit, size]) => {
    const count = Math.floor(seconds / size);
    seconds %= size;
    return count && `${count} ${unit}${count === 1 ? "" : "s"}`;
  });
  return parts.filter(Boolean).slice(0, 2).join(", ");
}

element("tenant").textContent = tenantId;
element("uptime").onclick = async () => {
  try {
    const result = await call(TOOL);
    if (result.isError) throw new Error(result.content[0]?.text ?? "the tool failed");
    const known = result.structuredContent;
    show(known ? spoken(known.uptime_seconds) : "", JSON.stringify(known ?? result.content, null, 2));
  } catch (error) {
    show(error.message);
  }
};
connect();

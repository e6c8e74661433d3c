// A modem on mqtt.js, which judges what the gateway says.
//
//     mqttjs_modem.js PORT VERSION(4|5) DEVICE
//
// Says what it saw as one JSON object; ends with an error at the first thing that
// is not as the modem interface (docs/modem.md) has it.
const assert = require("node:assert");
const mqtt = require("mqtt");

const [port, version, device] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const base = `lg/v1/${device}`;
const v5 = version === 5;

function record(seq) {
  const now = Date.now();
  return { epoch: 1, boot: 1, seq, start: now - 1000, end: now, apn: "iot.example",
           rating_group: 1, octets_up: 500, octets_down: 500 };
}

function next(client, event) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${event} within 10 s`)), 10000);
    client.once(event, (...values) => { clearTimeout(late); resolve(values); });
  });
}

async function open(clean) {
  const client = mqtt.connect({
    host: "127.0.0.1", port, protocolVersion: version, clientId: device, clean, reconnectPeriod: 0,
    properties: v5 ? { sessionExpiryInterval: 60, topicAliasMaximum: 4, receiveMaximum: 8 } : undefined,
    autoUseTopicAlias: v5,
    will: { topic: `${base}/status`, payload: JSON.stringify({ state: "offline", session: 3 }), qos: 1,
            properties: v5 ? { willDelayInterval: 1 } : undefined },
  });
  const [connack] = await next(client, "connect");
  client.on("disconnect", (packet) => { throw new Error(`disconnected: ${packet.reasonCode}`); });
  return { client, connack };
}

async function main() {
  const { client, connack } = await open(true);
  assert.equal(connack.sessionPresent, false);
  if (v5) {
    assert.equal(connack.properties.maximumQoS, 1);
    assert.equal(connack.properties.topicAliasMaximum, 8);
  }
  const told = next(client, "message");
  const granted = await client.subscribeAsync(`${base}/desired`, { qos: 1 });
  assert.equal(granted[0].qos, 1);
  const [topic, payload, packet] = await told;
  assert.equal(topic, `${base}/desired`);
  assert.equal(packet.retain, true);
  const desired = JSON.parse(payload);
  await client.publishAsync(`${base}/reported`, JSON.stringify({ version: desired.version, state: desired.state }), { qos: 1 });
  // mqtt.js does not keep to our Receive Maximum (64) by itself; 3.1.1 has none, there we stop reading
  const window = v5 ? 64 : 200;
  for (let first = 1; first <= 200; first += window) {
    const sent = [];
    for (let seq = first; seq < first + window && seq <= 200; seq += 1) {
      const properties = v5 ? { contentType: "application/json", userProperties: { unit: "octets" } } : undefined;
      sent.push(client.publishAsync(`${base}/usage`, JSON.stringify(record(seq)), { qos: 1, properties }));
    }
    await Promise.all(sent);
  }
  await assert.rejects(client.subscribeAsync("lg/v1/+/desired", { qos: 1 }).then((g) => {
    if (g[0].qos >= 128) throw new Error("refused");
  }));
  await client.endAsync();
  const again = await open(false);
  assert.equal(again.connack.sessionPresent, v5);
  await again.client.endAsync();
  console.log(JSON.stringify({ desired, octets: 200 * 1000 }));
}

main().catch((error) => { console.error(error); process.exit(1); });

"""A modem on paho-mqtt, which judges what the gateway says.

    paho_modem.py PORT VERSION(3|5) DEVICE

Says what it saw as one JSON object; ends with an error at the first thing that
is not as the modem interface (docs/modem.md) has it.
"""
import json, queue, sys, time

import cbor2
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT, VERSION, DEVICE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
V5 = VERSION == 5
BASE = f"lg/v1/{DEVICE}"
WAIT = 10


class Modem:
    def __init__(self, clean=True, will=None):
        protocol = mqtt.MQTTv5 if V5 else mqtt.MQTTv311
        more = {} if V5 else {"clean_session": clean}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=DEVICE, protocol=protocol, **more)
        self.clean = clean
        self.said = {name: queue.Queue() for name in ("connect", "message", "publish", "subscribe", "disconnect")}
        self.client.on_connect = lambda c, u, flags, reason, props: self.said["connect"].put((flags, reason, props))
        self.client.on_message = lambda c, u, message: self.said["message"].put(message)
        self.client.on_publish = lambda c, u, mid, reason, props: self.said["publish"].put((mid, reason))
        self.client.on_subscribe = lambda c, u, mid, reasons, props: self.said["subscribe"].put(reasons)
        self.client.on_disconnect = lambda c, u, flags, reason, props: self.said["disconnect"].put(reason)
        if will:
            self.client.will_set(f"{BASE}/status", will, qos=1)

    def connect(self):
        more = {}
        if V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 60
            more = {"clean_start": self.clean, "properties": properties}
        self.client.connect("127.0.0.1", PORT, keepalive=30, **more)
        self.client.loop_start()
        flags, reason, properties = self.wait("connect")
        assert not reason.is_failure, reason
        return flags.session_present, properties

    def wait(self, what, seconds=WAIT):
        try:
            return self.said[what].get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no {what} within {seconds} s") from None

    def subscribe(self, topic):
        options = {"options": SubscribeOptions(qos=1)} if V5 else {"qos": 1}
        self.client.subscribe(topic, **options)
        return self.wait("subscribe")[0]

    def publish(self, kind, payload, content_type=None, topic=None, qos=1):
        properties = None
        if V5 and content_type:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ContentType = content_type
        sent = self.client.publish(topic or f"{BASE}/{kind}", payload, qos=qos, properties=properties)
        mid, reason = self.wait("publish")
        assert mid == sent.mid, (mid, sent.mid)
        return reason

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


def record(seq, octets=1000):
    now = int(time.time() * 1000)
    return {"epoch": 1, "boot": 1, "seq": seq, "start": now - 1000, "end": now, "apn": "iot.example",
            "rating_group": 1, "octets_up": octets, "octets_down": 0}


def usage(modem):
    one, batch, packed = record(1), [record(2), record(3)], [record(4), record(5)]
    for _ in range(2):  # the same records again: acknowledged, counted once
        for payload, kind in [(json.dumps(one), "application/json"), (json.dumps(batch), "application/json"),
                              (cbor2.dumps(packed), "application/cbor")]:
            assert not modem.publish("usage", payload, kind).is_failure
    # unreadable: acknowledged too, or it would come back for ever
    assert not modem.publish("usage", "{", "application/json").is_failure


def strangers(modem):
    for topic in ("#", "lg/v1/+/desired", "lg/v1/another/desired", f"{BASE}/../another/desired", "$SYS/#",
                  f"$share/g/{BASE}/desired"):
        reason = modem.subscribe(topic)
        assert reason.is_failure, (topic, reason)
    if V5:
        assert modem.publish("usage", "{}", topic="lg/v1/another/usage").value == 0x87
    # in 3.1.1 only the end of the connection can say it


def session(first):
    """A session that outlives its connection, and one that is taken over."""
    present, _ = first.connect()
    assert not present
    assert not first.subscribe(f"{BASE}/desired").is_failure
    first.wait("message")
    second = Modem(clean=False)
    present, _ = second.connect()
    assert present, "a session taken over goes on"
    reason = first.wait("disconnect")
    if V5:
        assert reason.value == 0x8E, reason
    first.client.loop_stop()
    second.leave()
    third = Modem(clean=False)
    present, _ = third.connect()
    assert present, "a session outlives its connection"
    third.leave()


modem = Modem()
present, properties = modem.connect()
assert not present
if V5:
    assert properties.MaximumQoS == 1 and properties.ReceiveMaximum == 64, properties
assert not modem.publish("status", json.dumps({"state": "online", "session": 1})).is_failure
assert not modem.subscribe(f"{BASE}/desired").is_failure
message = modem.wait("message")
desired = json.loads(message.payload)
assert message.retain and message.qos == 1 and message.topic == f"{BASE}/desired"
if V5:
    assert message.properties.ContentType == "application/json", message.properties
    assert message.properties.MessageExpiryInterval > 3600, message.properties
    assert message.properties.ResponseTopic == f"{BASE}/reported", message.properties
    assert message.properties.CorrelationData == str(desired["version"]).encode(), message.properties
reported = {"version": desired["version"], "state": desired["state"]}
assert not modem.publish("reported", json.dumps(reported)).is_failure
usage(modem)
strangers(modem)
modem.leave()
session(Modem(clean=V5))
# QoS 2 is not served: version 5 says so, 3.1.1 ends the connection.
two = Modem()
two.connect()
two.client.publish(f"{BASE}/usage", json.dumps(record(9)), qos=2)
reason = two.wait("disconnect")
assert not V5 or reason.value == 0x9B, reason
two.client.loop_stop()
# The link is lost: no DISCONNECT, so the will counts.
lost = Modem(will=json.dumps({"state": "offline", "session": 2}))
lost.connect()
assert not lost.publish("status", json.dumps({"state": "online", "session": 2})).is_failure
lost.client.socket().close()
lost.client.loop_stop()
print(json.dumps({"desired": desired, "octets": 5000}))

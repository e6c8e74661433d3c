//! Real parts for tests: the gateway's own binary and foreign servers, each on
//! free loopback ports and ended by its own process id.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A process that ends with the test.
pub struct Running {
    child: Child,
    name: &'static str,
}

impl Running {
    /// Starts it; its output goes to `log`.
    pub fn start(name: &'static str, command: &mut Command, log: &Path) -> Self {
        Self::start_with(name, command, Stdio::null(), log)
    }

    /// Starts it with a standard input that the test writes to.
    pub fn start_with_input(name: &'static str, command: &mut Command, log: &Path) -> (Self, ChildStdin) {
        let mut running = Self::start_with(name, command, Stdio::piped(), log);
        let input = running.child.stdin.take().unwrap();
        (running, input)
    }

    fn start_with(name: &'static str, command: &mut Command, input: Stdio, log: &Path) -> Self {
        let out = File::create(log).unwrap();
        let child = command
            .stdin(input)
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|e| panic!("start {name}: {e}; ./tests/run installs it"));
        Self { child, name }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and gives its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        let deadline = now() + Duration::from_secs(20);
        while now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            pause(20);
        }
        panic!("{} did not end within 20 s of SIGTERM", self.name);
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// `linegate serve` on a folder of its own.
pub struct Gateway {
    process: Running,
    /// REST, metrics, health.
    pub http: SocketAddr,
    /// Diameter.
    pub diameter: SocketAddr,
    /// MQTT.
    pub mqtt: SocketAddr,
    /// What it wrote on standard error.
    pub log: PathBuf,
}

/// Ports of a gateway that is started again on the same ones.
#[derive(Clone, Copy)]
pub struct Ports {
    pub http: SocketAddr,
    pub diameter: SocketAddr,
    pub mqtt: SocketAddr,
}

impl Ports {
    /// Ports that are free at this moment.
    pub fn free() -> Self {
        Self { http: free_port(), diameter: free_port(), mqtt: free_port() }
    }
}

/// An address that nobody listens on at this moment.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Gateway {
    /// Starts it on `folder` and waits until it may take traffic.
    pub fn start(folder: &Path, ports: Ports, settings: &[(&str, &str)]) -> Self {
        Self::start_with(folder, ports, settings, None)
    }

    /// As [`Gateway::start`], with a settings file.
    pub fn start_with(folder: &Path, ports: Ports, settings: &[(&str, &str)], file: Option<&Path>) -> Self {
        let log = folder.join(format!("linegate-{}.log", ports.http.port()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_linegate"));
        command
            .arg("serve")
            .args(file.iter().flat_map(|file| [Path::new("--config"), file]))
            .env("LINEGATE__DATA__FOLDER", folder.join("data"))
            .env("LINEGATE__HTTP__LISTEN", ports.http.to_string())
            .env("LINEGATE__DIAMETER__LISTEN", ports.diameter.to_string())
            .env("LINEGATE__MQTT__LISTEN", ports.mqtt.to_string())
            // Customers are called at any hour of the tests.
            .env("LINEGATE__SCHEDULING__CALL_FROM", "00:00")
            .env("LINEGATE__SCHEDULING__CALL_UNTIL", "00:00")
            .envs(settings.iter().copied());
        let process = Running::start("linegate", &mut command, &log);
        let gateway = Self { process, http: ports.http, diameter: ports.diameter, mqtt: ports.mqtt, log };
        gateway.wait_ready();
        gateway
    }

    fn wait_ready(&self) {
        let ready = || http("GET", self.http, "/readyz", None).is_some_and(|(status, _)| status == 200);
        wait_for("the gateway to be ready", Duration::from_secs(60), ready, || self.tail());
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// SIGKILL, as a power cut would.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM; the exit code.
    pub fn terminate(self) -> Option<i32> {
        self.process.terminate()
    }

    /// GET; the body must be JSON.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) =
            http("GET", self.http, path, None).unwrap_or_else(|| panic!("GET {path}: no answer\n{}", self.tail()));
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = http("POST", self.http, path, Some(("application/json", &body.to_string())))
            .unwrap_or_else(|| panic!("POST {path}: no answer\n{}", self.tail()));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Orders that are in a state now.
    pub fn metric_of_state(&self, state: &str) -> u64 {
        let path = format!("/tmf-api/serviceOrdering/v4/serviceOrder?state={state}&limit=1");
        let head = http_head("GET", self.http, &path).unwrap_or_default();
        let total =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-total-count:").map(str::to_owned));
        total.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Octets of a line that the relational store holds as rated.
    pub fn rated_octets(&self, line: &str) -> u64 {
        let mut sum = 0;
        for page in 0.. {
            let path =
                format!("/tmf-api/usageManagement/v4/usage?line={line}&status=rated&limit=1000&offset={}", page * 1000);
            let records = self.get(&path).1.as_array().cloned().unwrap_or_default();
            sum += records.iter().filter_map(usage_octets).sum::<u64>();
            if records.len() < 1000 {
                break;
            }
        }
        sum
    }

    /// The value of a metric with these exact labels, 0 when it is not there.
    pub fn metric(&self, name_and_labels: &str) -> i64 {
        let (_, text) = http("GET", self.http, "/metrics", None).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .find(|(name, _)| *name == name_and_labels)
            .and_then(|(_, value)| value.parse::<i64>().ok())
            .unwrap_or(0)
    }
}

/// Octets of a TMF635 usage record.
pub fn usage_octets(record: &Value) -> Option<u64> {
    let characteristics = record["usageCharacteristic"].as_array()?;
    characteristics.iter().find(|c| c["name"] == "octets")?["value"].as_u64()
}

/// Wall-clock time of the test itself, milliseconds since the epoch.
#[allow(clippy::disallowed_methods)]
pub fn wall_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// One HTTP exchange on its own connection; `None` when nobody answers.
pub fn http(method: &str, to: SocketAddr, path: &str, body: Option<(&str, &str)>) -> Option<(u16, String)> {
    let (head, body) = exchange(method, to, path, body)?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body))
}

/// The status line and headers of an exchange.
pub fn http_head(method: &str, to: SocketAddr, path: &str) -> Option<String> {
    exchange(method, to, path, None).map(|(head, _)| head)
}

fn exchange(method: &str, to: SocketAddr, path: &str, body: Option<(&str, &str)>) -> Option<(String, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let (kind, text) = body.unwrap_or(("text/plain", ""));
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {to}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

/// Waits until `done`, or fails with what was waited for and `detail`.
pub fn wait_for(what: &str, patience: Duration, mut done: impl FnMut() -> bool, detail: impl Fn() -> String) {
    let deadline = now() + patience;
    while now() < deadline {
        if done() {
            return;
        }
        pause(20);
    }
    panic!("waited {patience:?} for {what}\n{}", detail());
}

/// The last lines of a file.
pub fn tail(file: &Path) -> String {
    let Ok(open) = File::open(file) else { return String::new() };
    let lines: Vec<String> = BufReader::new(open).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(done.success(), "send SIG{name} to {pid}");
}

/// Monotonic time of the test itself.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets other processes work.
pub fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

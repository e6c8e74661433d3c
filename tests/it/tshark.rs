//! tshark, from Debian, as a judge: what we send has to be dissected without a
//! malformed packet, an expert's warning or an unknown name.

mod live;
mod pcap;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use linegate_diameter::Message;
use linegate_diameter::dictionary::find_command;

use crate::messages;
use pcap::{Conversation, Pcap, Sender};

/// Wireshark's severity of a warning (epan/proto.h); an error is higher.
const WARNING: &str = "6291456";

/// Gives a peer's AVP of a wrong length back as it came (RFC 6733 section
/// 7.1.5), so that whoever reads it has to complain.
const QUOTED: &str = "refusal 5014";

/// Values that Wireshark 4.0 cannot name: UNUSED_QUOTA_TIMER is younger, and 0
/// fills a Failed-AVP for an AVP that did not come (RFC 6733 section 7.5).
const VALUES: [(&str, &str); 2] = [("Reporting-Reason", "Unknown (9)"), ("CC-Request-Type", "Unknown (0)")];

/// Wireshark 4.0 has another name for our application, in a line of its own.
const TAKEN: &str = "<application id=\"16777999\"";

/// The user and group `nobody`.
const NOBODY: u32 = 65_534;

/// tshark as root passes over its environment, and should not be root anyway.
fn as_nobody(command: &mut Command, folder: &Path) {
    if fs::metadata(folder).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Wireshark's data folder with our dictionary in it, made as
/// docs/line-provisioning.md tells people to.
fn data_folder(at: &Path) -> PathBuf {
    let installed = Path::new("/usr/share/wireshark");
    let folder = at.join("wireshark");
    fs::create_dir_all(folder.join("diameter")).unwrap();
    for entry in fs::read_dir(installed).expect("tshark; ./tests/run installs it") {
        let entry = entry.unwrap();
        if entry.file_name() != "diameter" {
            symlink(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    for entry in fs::read_dir(installed.join("diameter")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join("diameter").join(entry.file_name())).unwrap();
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocols/diameter/dictionary/line-provisioning.xml");
    fs::copy(ours, folder.join("diameter/line-provisioning.xml")).unwrap();
    let main = folder.join("diameter/dictionary.xml");
    let text = fs::read_to_string(&main).unwrap();
    let declared = text.replacen("\n]>", "\n<!ENTITY Linegate SYSTEM \"line-provisioning.xml\">\n]>", 1);
    let lines = declared.lines().map(|line| if line.contains(TAKEN) { "&Linegate;" } else { line });
    let included: Vec<&str> = lines.collect();
    assert!(included.contains(&"&Linegate;"), "no place for our dictionary");
    fs::write(&main, included.join("\n")).unwrap();
    open_to_all(at);
    folder
}

/// What tshark prints for a capture.
fn tshark(data: &Path, capture: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("tshark");
    command.env("WIRESHARK_DATA_DIR", data).env("HOME", data).arg("-r").arg(capture).arg("-2").args(arguments);
    as_nobody(&mut command, data);
    let output = command.output().expect("tshark; ./tests/run installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("Dictionary"), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An empty Requested-Service-Unit, by which a client leaves the amount to the
/// server (RFC 8506 section 8.18); Wireshark warns of any AVP without data.
fn is_open_request(fault: &str) -> bool {
    fault.contains("Credit-Control Request") && fault.ends_with("\tData is empty")
}

/// Packets that are malformed or have an expert's warning.
fn faults(data: &Path, capture: &Path) -> Vec<String> {
    let filter = format!("_ws.malformed or _ws.expert.severity >= {WARNING}");
    let shown = ["-e", "frame.number", "-e", "_ws.col.Info", "-e", "_ws.expert.message"];
    let arguments = [&["-R", &filter, "-T", "fields", "-E", "occurrence=a"], &shown[..]].concat();
    let found = tshark(data, capture, &arguments);
    found.lines().filter(|line| !is_open_request(line)).map(str::to_owned).collect()
}

/// No packet is malformed, none has an expert's warning, every name is known.
fn check_faults_and_names(data: &Path, capture: &Path) {
    let faulty = faults(data, capture);
    assert!(faulty.is_empty(), "tshark finds fault: {faulty:#?}");
    let tree = tshark(data, capture, &["-O", "diameter"]);
    let named = |line: &&str| VALUES.iter().any(|(avp, value)| line.contains(avp) && line.contains(value));
    let unknown: Vec<&str> = tree.lines().filter(|line| line.contains("Unknown") && !named(line)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn tshark_finds_no_fault_in_any_message_that_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_folder(folder.path());
    let mut pcap = Pcap::new();
    let mut conversation = Conversation::new(40_000);
    let samples: Vec<_> = messages::all().into_iter().filter(|sample| sample.what != QUOTED).collect();
    for sample in &samples {
        let is_request = sample.bytes[4] & 0x80 != 0;
        let sender = if is_request { Sender::Client } else { Sender::Node };
        pcap.add(&mut conversation, sender, &sample.bytes);
    }
    let capture = folder.path().join("samples.pcap");
    pcap.save(&capture);

    let info = tshark(&data, &capture, &["-T", "fields", "-e", "_ws.col.Info"]);
    for (line, sample) in info.lines().zip(&samples) {
        let header = Message::decode(sample.bytes.clone()).unwrap().header;
        let name = find_command(header.application_id, header.command_code).unwrap().name;
        let kind = if header.is_request() { "Request" } else { "Answer" };
        let expected = format!("{name} {kind}({})", header.command_code);
        assert!(line.contains(&expected), "{}: `{expected}` is not in: {line}", sample.what);
    }
    assert_eq!(info.lines().count(), samples.len());
    check_faults_and_names(&data, &capture);

    // And it does find faults.
    pcap.add(&mut conversation, Sender::Node, &messages::faulty_answer());
    pcap.save(&capture);
    assert_eq!(faults(&data, &capture).len(), 1);
}

#[test]
fn tshark_shows_line_provisioning_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_folder(folder.path());
    let mut pcap = Pcap::new();
    let mut conversation = Conversation::new(40_000);
    let samples = messages::all();
    for sample in samples.iter().filter(|sample| matches!(sample.what.as_str(), "Provision" | "line answer")) {
        pcap.add(&mut conversation, Sender::Node, &sample.bytes);
    }
    let capture = folder.path().join("lines.pcap");
    pcap.save(&capture);
    let tree = tshark(&data, &capture, &["-O", "diameter"]);
    let expected = [
        "Command Code: Provision (16777214)",
        "Command Code: Query (16777215)",
        "ApplicationId: Line Provisioning (16777999)",
        "AVP: Order-Id(1)",
        "AVP: Line-Id(2)",
        "Action: RECONNECT (6)",
        "Access: CELLULAR (0)",
        "AVP: IMSI(5)",
        "AVP: MSISDN(6)",
        "AVP: APN(7)",
        "AVP: Plan(8)",
        "AVP: Service-Address(9)",
        "AVP: Device-Id(10)",
        "Line-State: SUSPENDED (2)",
        "Line-Version: 18446744073709551615",
        "AVP: Last-Order-Id(13)",
        "AVP: Characteristics(14)",
        "vnd=Linegate",
    ];
    for text in expected {
        assert!(tree.contains(text), "`{text}` is not in:\n{}", &tree[..tree.len().min(8_000)]);
    }
}

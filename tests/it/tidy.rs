//! What review would have to catch otherwise: who may use what, and no floats
//! where money is.

use std::fs;
use std::path::{Path, PathBuf};

/// A text that must not stand in a folder, and what to use instead.
struct Ban {
    folder: &'static str,
    text: &'static str,
    instead: &'static str,
}

const BANS: &[Ban] = &[
    ban("src/domain", "tokio", "values and functions; a service does the waiting"),
    ban("src/domain", "axum", "a typed error; api chooses the status"),
    ban("src/domain", "sqlx", "a port; adapters hold the SQL"),
    ban("src/domain", "redis", "a port; adapters hold the store"),
    ban("src/domain", "fjall", "a port; adapters hold the store"),
    ban("src/domain", "SystemTime", "`now: Timestamp` as an argument"),
    ban("src/domain", "std::time::Instant", "`now: Timestamp` as an argument"),
    ban("src/domain", "::now()", "`now: Timestamp` as an argument"),
    ban("src/domain", "f64", "integers in minor units and octets"),
    ban("src/domain", "f32", "integers in minor units and octets"),
    ban("src/domain", "crate::services", "nothing above the domain"),
    ban("src/domain", "crate::ports", "nothing above the domain"),
    ban("src/domain", "crate::adapters", "nothing above the domain"),
    ban("src/domain", "linegate_diameter", "protocol-free words; transport translates"),
    ban("src/domain", "linegate_mqtt", "protocol-free words; transport translates"),
    ban("src/saga", "crate::domain::ordering", "no business words in the engine"),
    ban("src/saga", "crate::domain::line", "no business words in the engine"),
    ban("src/ports", "crate::services", "nothing above the ports"),
    ban("src/ports", "crate::adapters", "nothing above the ports"),
    ban("src/services", "axum", "a typed error; api chooses the status"),
    ban("src/services", "sqlx", "the relational port"),
    ban("src/services", "linegate_diameter", "protocol-free words; transport translates"),
    ban("src/services", "linegate_mqtt", "protocol-free words; transport translates"),
    ban("src/services", "StatusCode", "a typed error; api chooses the status"),
    ban("protocols", "tokio", "a machine that the transport drives"),
    ban("protocols", "std::net::Tcp", "a machine that the transport drives"),
    ban("simulators/src", "use linegate::", "protocols/* and sockets"),
];

const fn ban(folder: &'static str, text: &'static str, instead: &'static str) -> Ban {
    Ban { folder, text, instead }
}

#[test]
fn every_room_keeps_to_its_own_tools() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for ban in BANS {
        for file in sources(&root.join(ban.folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code_of(&text) {
                if line.contains(ban.text) {
                    let shown = file.strip_prefix(root).unwrap().display();
                    found.push(format!("{shown}:{number}: `{}`: use {}", ban.text, ban.instead));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<String> = ["src", "protocols", "simulators/src"]
        .iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .filter_map(|file| {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            (lines > 900).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "split these files:\n{}", long.join("\n"));
}

/// Lines of code with their numbers: no comments, nothing from the test module on.
fn code_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(i, line)| (i + 1, line))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target" && n != "tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

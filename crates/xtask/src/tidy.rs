//! The house rules that no compiler checks: module docs, crate arrows, long files, forgotten tests, named invariants.

use crate::command::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Lines of a file; a longer one is two things.
const LINES_MAX: usize = 600;
/// Folders with Rust of ours.
const FOLDERS: [&str; 3] = ["crates", "web", "tests"];
/// Which crate of ours may use which: `protocol → core → {edge, agent, web}`; the rest stands apart.
const ARROWS: [(&str, &[&str]); 8] = [
    ("berth-protocol", &[]),
    ("berth-core", &["berth-protocol"]),
    ("berth-edge", &["berth-protocol", "berth-core"]),
    ("berth-agent", &["berth-protocol", "berth-core"]),
    ("berth-web", &["berth-protocol", "berth-core"]),
    ("berth-engine", &[]),
    // It mints one-time links, whose form is core's.
    ("berth-xtask", &["berth-protocol", "berth-core"]),
    ("berth-tests", &[]),
];

/// Checks every rule and names every breach.
pub(crate) fn run() -> Result<()> {
    println!("▸ tidy");
    let files = rust_files()?;
    let mut breaches = Vec::new();
    for (path, text) in &files {
        if !text.starts_with("//! ") {
            breaches.push(format!("{}: its first line must say what the file is for (`//! …`)", path.display()));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            breaches.push(format!("{}: {lines} lines, at most {LINES_MAX}", path.display()));
        }
    }
    breaches.extend(arrows()?);
    breaches.extend(forgotten_tests(&files));
    breaches.extend(unnamed_invariants(&files)?);
    if !breaches.is_empty() {
        bail!("tidy:\n  {}", breaches.join("\n  "));
    }
    Ok(())
}

type Files = BTreeMap<PathBuf, String>;

fn rust_files() -> Result<Files> {
    let mut files = Files::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "build" && name != "dist" && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)?;
                files.insert(path.strip_prefix(root()).map(Path::to_owned).unwrap_or(path), text);
            }
        }
    }
    Ok(files)
}

fn arrows() -> Result<Vec<String>> {
    let output = cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let mut breaches = Vec::new();
    let mut known = BTreeSet::new();
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    for package in list(&metadata, "packages") {
        let name = text(&package, "name");
        known.insert(name.clone());
        let Some((_, allowed)) = ARROWS.iter().find(|(of, _)| *of == name) else {
            breaches.push(format!("{name}: a new crate needs its place in the arrows"));
            continue;
        };
        for dependency in list(&package, "dependencies") {
            let used = text(&dependency, "name");
            if used.starts_with("berth-") && !allowed.contains(&used.as_str()) {
                breaches.push(format!("{name} must not use {used}"));
            }
        }
    }
    breaches.extend(ARROWS.iter().filter(|(of, _)| !known.contains(*of)).map(|(of, _)| format!("{of}: no such crate")));
    Ok(breaches)
}

/// A test file that no `main.rs` names, and a journey that is in no list, would never run.
fn forgotten_tests(files: &Files) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in files {
        let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
            continue;
        };
        let is_test = path.components().any(|part| part.as_os_str() == "tests") && !path.starts_with("tests/src");
        let Some(main) = files.get(&folder.join("main.rs")).filter(|_| is_test && stem != "main") else { continue };
        if !main.contains(&format!("mod {stem};")) {
            breaches.push(format!("{}: not named in its main.rs, so it never runs", path.display()));
        }
        if path.starts_with("tests/journeys") {
            let journeys = text.lines().filter_map(|line| line.strip_prefix("pub(crate) async fn ")?.split('(').next());
            for journey in journeys.filter(|journey| !main.contains(&format!("{stem}::{journey}"))) {
                breaches.push(format!("{}: the journey {journey} is in no list", path.display()));
            }
        }
    }
    breaches
}

/// Every invariant of TECHNICAL.md names a test that exists.
fn unnamed_invariants(files: &Files) -> Result<Vec<String>> {
    let text = fs::read_to_string(root().join("TECHNICAL.md")).context("read TECHNICAL.md")?;
    let table = text.split("## Invariants").nth(1).context("TECHNICAL.md has no page of invariants")?;
    let table = table.split("\n## ").next().unwrap_or_default();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| Invariant"));
    let mut breaches = Vec::new();
    for row in rows {
        let tests: Vec<&str> = row.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            breaches.push(format!("TECHNICAL.md: no test for the invariant {row}"));
        }
        for test in tests {
            if !files.values().any(|text| text.contains(&format!("fn {test}("))) {
                breaches.push(format!("TECHNICAL.md: the test {test} does not exist"));
            }
        }
    }
    Ok(breaches)
}

//! Builds what runs: the static agent, the engine, the Worker, the page.

use crate::{
    command::{cargo, program, quiet_step, root, step},
    tools,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// Rust target of the agent.
const AGENT_TARGET: &str = "x86_64-unknown-linux-musl";

/// What rustc emits and every target browser has; more would let wasm-opt use what some lack.
const WASM_FEATURES: [&str; 6] =
    ["mutable-globals", "sign-ext", "nontrapping-float-to-int", "bulk-memory", "multivalue", "reference-types"];

/// The agent's binary.
pub(crate) fn agent_path() -> PathBuf {
    target().join(AGENT_TARGET).join("release/berth-agent")
}

/// The engine's binary.
pub(crate) fn engine_path() -> PathBuf {
    target().join("release/berth-engine")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Everything.
pub(crate) fn all() -> Result<()> {
    agent()?;
    engine()?;
    worker()?;
    page()
}

/// The agent, static.
pub(crate) fn agent() -> Result<()> {
    step("agent", &mut cargo(&["build", "--quiet", "--release", "--package", "berth-agent", "--target", AGENT_TARGET]))
}

/// The engine.
pub(crate) fn engine() -> Result<()> {
    step("engine", &mut cargo(&["build", "--quiet", "--release", "--package", "berth-engine"]))
}

/// The Worker, if anything it is made of has changed.
pub(crate) fn worker() -> Result<()> {
    let output = root().join("crates/edge/build/index.js");
    unless_unchanged("Worker", &["crates/protocol", "crates/core", "crates/edge"], &output, build_worker)
}

/// The page, if anything it is made of has changed.
pub(crate) fn page() -> Result<()> {
    let output = root().join("web/dist/index.html");
    unless_unchanged("page", &["crates/protocol", "crates/core", "web"], &output, build_page)
}

/// wasm-opt takes seconds and cargo cannot tell whether it must run: a fingerprint of all inputs can.
fn unless_unchanged(name: &str, folders: &[&str], output: &Path, build: fn() -> Result<()>) -> Result<()> {
    let stamp = target().join(format!("berth-{}.stamp", name.to_lowercase()));
    let mut hasher = DefaultHasher::new();
    let shared = ["Cargo.toml", "Cargo.lock", "package-lock.json", "rust-toolchain.toml", "crates/xtask/src/build.rs"];
    for path in shared.iter().chain(folders) {
        fingerprint(&root().join(path), &mut hasher)?;
    }
    let wanted = hasher.finish().to_string();
    if output.exists() && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return Ok(());
    }
    let _ = fs::remove_file(&stamp);
    build()?;
    Ok(fs::write(stamp, wanted)?)
}

fn fingerprint(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        // What a build makes is no input of it.
        entries.retain(|entry| !entry.ends_with("build") && !entry.ends_with("dist") && !entry.ends_with("tests"));
        return entries.iter().try_for_each(|entry| fingerprint(entry, hasher));
    }
    path.hash(hasher);
    fs::read(path).with_context(|| format!("read {}", path.display()))?.hash(hasher);
    Ok(())
}

/// By worker-build with our own tools.
fn build_worker() -> Result<()> {
    let [wasm_bindgen, worker_build] = tools::crate_tools()?;
    let node = tools::node()?;
    let mut command = program(worker_build.path());
    command
        .current_dir(root().join("crates/edge"))
        .arg("--release")
        .env("WASM_BINDGEN_BIN", wasm_bindgen.path())
        .env("WASM_OPT_BIN", tools::npm_bin("wasm-opt"))
        .env("ESBUILD_BIN", tools::npm_bin("esbuild"));
    if let Some(folder) = node.parent().filter(|folder| folder.is_absolute()) {
        command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default()));
    }
    // It leaves the old build when it fails; without it a failure cannot look like a success.
    let output = root().join("crates/edge/build/index.js");
    let _ = fs::remove_file(&output);
    quiet_step("Worker", &mut command)?;
    if !output.exists() {
        bail!("worker-build left no {}", output.display());
    }
    Ok(())
}

/// Wasm, its glue, xterm in a chunk of its own, styles, and the shell that names them by hash.
fn build_page() -> Result<()> {
    let [wasm_bindgen, _] = tools::crate_tools()?;
    let work = target().join("web");
    let dist = root().join("web/dist");
    let glue = work.join("glue");
    step(
        "page: wasm",
        &mut cargo(&[
            "build",
            "--quiet",
            "--profile",
            "wasm",
            "--package",
            "berth-web",
            "--bin",
            "berth-web",
            "--target",
            "wasm32-unknown-unknown",
        ]),
    )?;
    let wasm = target().join("wasm32-unknown-unknown/wasm/berth-web.wasm");
    let _ = fs::remove_dir_all(&glue);
    quiet_step(
        "page: bindings",
        program(wasm_bindgen.path())
            .args(["--target", "web", "--no-typescript", "--out-name", "berth", "--out-dir"])
            .arg(&glue)
            .arg(wasm),
    )?;
    let module = glue.join("berth_bg.wasm");
    let mut optimise = program(tools::node()?);
    optimise
        .arg(tools::npm_bin("wasm-opt"))
        .args(["-Oz", "--strip-debug", "--strip-producers"])
        .args(WASM_FEATURES.map(|feature| format!("--enable-{feature}")))
        .arg(&module)
        .arg("-o")
        .arg(&module);
    quiet_step("page: optimise", &mut optimise)?;
    bundle(&glue, &dist)
}

fn bundle(glue: &Path, dist: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(dist);
    fs::create_dir_all(dist)?;
    let meta = glue.join("meta.json");
    let mut esbuild = program(tools::npm_bin("esbuild"));
    esbuild
        .arg("web/js/boot.js")
        .arg("web/css/app.css")
        .args(["--bundle", "--splitting", "--format=esm", "--minify", "--target=es2022", "--legal-comments=linked"])
        .args(["--loader:.wasm=file", "--entry-names=assets/[name].[hash]", "--chunk-names=assets/[name].[hash]"])
        .args(["--asset-names=assets/[name].[hash]", "--public-path=/", "--log-level=warning"])
        .arg(format!("--alias:berth-glue={}", glue.join("berth.js").display()))
        .arg(format!("--alias:berth-wasm={}", glue.join("berth_bg.wasm").display()))
        .arg(format!("--metafile={}", meta.display()))
        .arg(format!("--outdir={}", dist.display()));
    quiet_step("page: bundle", &mut esbuild)?;

    let names: Vec<String> =
        fs::read_dir(dist.join("assets"))?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let find = |start: &str, end: &str| {
        let found = names.iter().find(|name| name.starts_with(start) && name.ends_with(end));
        found.map(|name| format!("/assets/{name}")).with_context(|| format!("the bundle has no {start}*{end}"))
    };
    let shell = fs::read_to_string(root().join("web/index.html"))?;
    let shell = shell
        .replace("{{css}}", &find("app.", ".css")?)
        .replace("{{boot}}", &find("boot.", ".js")?)
        .replace("{{wasm}}", &find("berth_bg.", ".wasm")?);
    if shell.contains("{{") {
        bail!("web/index.html names something the bundle does not have");
    }
    fs::write(dist.join("index.html"), shell)?;
    fs::copy(root().join("web/_headers"), dist.join("_headers"))?;
    Ok(())
}

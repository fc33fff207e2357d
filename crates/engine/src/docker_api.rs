//! The Docker Engine API, as far as workerd and wrangler call it: containers without images, volumes or logs.

use crate::{
    container::{Config, Container, Refusal, Registry, Status},
    http::{Body, empty, json_answer, read_body, refuse},
};
use hyper::{Method, Request, Response, StatusCode, Uri, body::Incoming};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::json;
use std::{collections::BTreeMap, convert::Infallible, str::FromStr, sync::Arc};

/// Characters of a container's name; workerd's are about 120.
const NAME_CHARS_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateBody {
    #[serde(default)]
    image: String,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    host_config: HostConfig,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    network_mode: Option<String>,
}

/// Answers one request.
pub async fn answer(request: Request<Incoming>, registry: Arc<Registry>) -> Result<Response<Body>, Infallible> {
    let line = format!("{} {}", request.method(), request.uri());
    let response = route(request, registry).await.unwrap_or_else(refused);
    if response.status().is_server_error() || response.status() == StatusCode::BAD_REQUEST {
        eprintln!("engine: {line} -> {}", response.status());
    }
    Ok(response)
}

async fn route(request: Request<Incoming>, registry: Arc<Registry>) -> Result<Response<Body>, Refusal> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let segments: Vec<String> = uri.path().split('/').skip(1).map(percent_decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (&method, segments.as_slice()) {
        // One network, whose gateway is this machine's loopback: workerd listens there and nowhere else.
        (&Method::GET, ["networks", "bridge"]) => Ok(json_answer(
            StatusCode::OK,
            &json!({ "Name": "bridge", "IPAM": { "Config": [{ "Subnet": "127.0.0.0/8", "Gateway": "127.0.0.1" }] } }),
        )),
        (&Method::GET, ["volumes"]) => Ok(json_answer(StatusCode::OK, &json!({ "Volumes": [] }))),
        (&Method::POST, ["containers", "create"]) => create(request, &registry).await,
        (&Method::GET, ["containers", "json"]) => Ok(list(&registry, &uri)),
        (&Method::DELETE, ["containers", name]) => {
            remove(&registry, &registry.find(name)?).await;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, ["containers", name, "json"]) => {
            Ok(json_answer(StatusCode::OK, &registry.find(name)?.inspect()))
        }
        (&Method::POST, ["containers", name, "start"]) => start(&registry, registry.find(name)?).await,
        (&Method::POST, ["containers", name, "wait"]) => {
            let container = registry.find(name)?;
            Ok(wait(&container, &uri).await)
        }
        (&Method::POST, ["containers", name, "kill"]) => {
            registry.find(name)?.signal(signal_number(&uri))?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (&Method::PUT, ["containers", name, "archive"]) => {
            registry.find(name)?;
            // The only archive workerd sends holds its CA, which nothing uses without interception.
            let _ = read_body(request).await;
            Ok(empty(StatusCode::OK))
        }
        _ => Ok(refuse(StatusCode::NOT_IMPLEMENTED, format_args!("berth-engine does not do {method} {}", uri.path()))),
    }
}

async fn create(request: Request<Incoming>, registry: &Registry) -> Result<Response<Body>, Refusal> {
    let name = query(request.uri(), "name").filter(|name| !name.is_empty() && name.len() <= NAME_CHARS_MAX);
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(refusal) => return Ok(refusal),
    };
    let Some(name) = name else { return Ok(refuse(StatusCode::BAD_REQUEST, "a container wants a name")) };
    let body: CreateBody = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return Ok(refuse(StatusCode::BAD_REQUEST, error)),
    };
    let config = Config {
        image: body.image,
        args: body.cmd.unwrap_or_default(),
        env: body.env.unwrap_or_default(),
        labels: body.labels.unwrap_or_default(),
        network_mode: body.host_config.network_mode.unwrap_or_default(),
    };
    let container = registry.create(name, config)?;
    Ok(json_answer(StatusCode::CREATED, &json!({ "Id": container.id, "Warnings": [] })))
}

fn list(registry: &Registry, uri: &Uri) -> Response<Body> {
    let filters = query(uri, "filters").unwrap_or_default();
    let wanted: BTreeMap<String, Vec<String>> = serde_json::from_str(&filters).unwrap_or_default();
    let labels = wanted.get("label").cloned().unwrap_or_default();
    let matches = |container: &Container| {
        labels.iter().all(|label| match label.split_once('=') {
            Some((key, value)) => container.config.labels.get(key).is_some_and(|found| found == value),
            None => container.config.labels.contains_key(label),
        })
    };
    let rows: Vec<_> = registry
        .all()
        .into_iter()
        .filter(|container| matches(container))
        .map(|container| {
            json!({
                "Id": container.id,
                "Names": [format!("/{}", container.name)],
                "Labels": container.config.labels,
                "HostConfig": { "NetworkMode": container.config.network_mode },
            })
        })
        .collect();
    json_answer(StatusCode::OK, &json!(rows))
}

async fn start(registry: &Arc<Registry>, container: Arc<Container>) -> Result<Response<Body>, Refusal> {
    let registry = Arc::clone(registry);
    let runtime = tokio::runtime::Handle::current();
    let started = tokio::task::spawn_blocking(move || {
        let _entered = runtime.enter();
        registry.start(&container)
    });
    started.await.unwrap_or_else(|error| Err(Refusal::Failed(error.into())))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn wait(container: &Container, uri: &Uri) -> Response<Body> {
    let until_removed = query(uri, "condition").as_deref() == Some("removed");
    let mut status = container.status.subscribe();
    let mut code = 0;
    let reached = status.wait_for(|status| {
        if let Status::Exited(exit_code) = status {
            code = *exit_code;
        }
        match status {
            Status::Removed => true,
            Status::Exited(_) | Status::Created => !until_removed,
            Status::Starting | Status::Running => false,
        }
    });
    // The sender lives in the container, which this call holds: the wait cannot fail.
    let _ = reached.await;
    json_answer(StatusCode::OK, &json!({ "StatusCode": code }))
}

/// Removes, and returns when its process is gone.
pub async fn remove(registry: &Registry, container: &Arc<Container>) {
    let mut status = container.status.subscribe();
    registry.remove(container);
    // A start under way sees the removal and ends what it started.
    let _ = status.wait_for(|status| !matches!(status, Status::Starting | Status::Running)).await;
    container.status.send_replace(Status::Removed);
}

fn refused(refusal: Refusal) -> Response<Body> {
    match refusal {
        Refusal::NoContainer => refuse(StatusCode::NOT_FOUND, "no such container"),
        Refusal::NoImage(image) => refuse(StatusCode::NOT_FOUND, format_args!("no such image: {image}")),
        Refusal::NameTaken => refuse(StatusCode::CONFLICT, "the name is taken"),
        Refusal::AlreadyRunning => empty(StatusCode::NOT_MODIFIED),
        Refusal::NotRunning => refuse(StatusCode::CONFLICT, "the container does not run"),
        Refusal::Failed(error) => {
            eprintln!("engine: {error:#}");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, format_args!("{error:#}"))
        }
    }
}

fn signal_number(uri: &Uri) -> i32 {
    let text = query(uri, "signal").unwrap_or_default();
    let named = Signal::from_str(&text).map(|signal| signal as i32);
    named.ok().or_else(|| text.parse().ok()).unwrap_or(Signal::SIGKILL as i32)
}

fn query(uri: &Uri, key: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| percent_decode(value))
}

fn percent_decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| {
            let mut rest = bytes.clone();
            let digits = [rest.next()?, rest.next()?];
            let value = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
            bytes = rest;
            Some(value)
        });
        out.push(escaped.flatten().unwrap_or(byte));
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_names_are_decoded() {
        let uri: Uri =
            "/containers/x/kill?a=1&signal=SIGTERM&filters=%7B%22label%22%3A%5B%5D%7D&bad=%zz%4".parse().unwrap();
        assert_eq!(query(&uri, "filters").as_deref(), Some(r#"{"label":[]}"#));
        assert_eq!(query(&uri, "bad").as_deref(), Some("%zz%4"));
        assert_eq!(query(&uri, "none"), None);
        assert_eq!(signal_number(&uri), 15);
        assert_eq!(signal_number(&"/x".parse().unwrap()), 9);
    }
}

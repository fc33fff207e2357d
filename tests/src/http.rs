//! A bare HTTP/1.1 client: it sends exactly the headers it is given, wrong ones too.

use anyhow::{Context, Result};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Head and body as text; chunk sizes included.
    pub text: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        let find = |line: &'_ str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        head.lines().find(|line| find(line))?.split_once(':').map(|(_, value)| value.trim())
    }

    /// The JSON object in the body.
    pub fn json(&self) -> Result<serde_json::Value> {
        let body = self.text.split_once("\r\n\r\n").context("no body")?.1;
        let (start, end) = (body.find('{').context("no object")?, body.rfind('}').context("no object")?);
        Ok(serde_json::from_str(body.get(start..=end).unwrap_or_default())?)
    }
}

/// Sends one request to `127.0.0.1:<port>`; `headers` are lines like `Host: x`.
pub fn request(port: u16, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|line| line.starts_with("Connection:")) {
        head.push_str("Connection: close\r\n");
    }
    headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    // An early refusal may close the connection before everything is sent.
    let _ = stream.write_all(&bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(length) = stream.read(&mut chunk) {
        answer.extend_from_slice(chunk.get(..length).unwrap_or_default());
        let is_switching = answer.starts_with(b"HTTP/1.1 101");
        if length == 0 || is_switching && answer.windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, text })
}

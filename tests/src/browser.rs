//! A real Chromium, driven as a person would: it clicks, types and waits for what the page shows.

use anyhow::{Context, Result, bail};
use fantoccini::{
    Client, ClientBuilder, Locator,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// How long anything on a page may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Of the browser's complaints, what a report shows.
const CONSOLE_LINES_MAX: usize = 6;
const CONSOLE_CHARS_MAX: usize = 400;

/// A running chromedriver.
pub struct Driver {
    child: Child,
    address: String,
}

/// How the window is.
#[derive(Debug, Clone, Copy)]
pub enum Viewport {
    /// 1440×900.
    Desktop,
    /// 390×844 with touch.
    Phone,
}

/// One page in a browser of its own.
pub struct Page {
    client: Client,
    name: String,
}

impl Driver {
    /// Starts chromedriver on a port of its choice.
    pub fn start() -> Result<Self> {
        let mut child = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdout(Stdio::piped())
            .spawn()
            .context("start chromedriver; `cargo xtask setup` installs it")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address: format!("http://127.0.0.1:{}", port.context("chromedriver did not start")?) })
    }

    /// Opens a browser with an empty profile.
    pub async fn page(&self, name: &str, viewport: Viewport) -> Result<Page> {
        let mut args = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--disable-quic",
            "--disable-component-update",
            "--disable-sync",
            "--force-prefers-reduced-motion",
        ];
        let mut options = serde_json::Map::new();
        match viewport {
            Viewport::Desktop => args.push("--window-size=1440,900"),
            Viewport::Phone => {
                let metrics = json!({ "width": 390, "height": 844, "pixelRatio": 3.0, "touch": true, "mobile": true });
                options.insert("mobileEmulation".to_owned(), json!({ "deviceMetrics": metrics }));
            }
        }
        options.insert("args".to_owned(), json!(args));
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": DEADLINE.as_millis() as u64, "pageLoad": DEADLINE.as_millis() as u64, "implicit": 0 },
        });
        let Value::Object(capabilities) = capabilities else { bail!("not an object") };
        let capabilities: Capabilities = capabilities;
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&self.address).await?;
        Ok(Page { client, name: name.to_owned() })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page {
    /// Opens an address.
    pub async fn goto(&self, url: &str) -> Result<()> {
        Ok(self.client.goto(url).await?)
    }

    /// Loads the page again.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.client.refresh().await?)
    }

    /// The address in view.
    pub async fn url(&self) -> Result<String> {
        Ok(self.client.current_url().await?.to_string())
    }

    /// Waits until a JavaScript expression is true: asked again whenever the page or the terminal's screen changes.
    pub async fn until(&self, what: &str, expression: &str) -> Result<()> {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             let terminal, written, finished = false;
             const check = () => {{
               if (finished) return;
               if (globalThis.berthTerminal && globalThis.berthTerminal !== terminal) {{
                 terminal = globalThis.berthTerminal; written?.dispose(); written = terminal.xterm.onWriteParsed(check);
               }}
               let holds = false; try {{ holds = {expression}; }} catch {{}}
               if (holds) {{ finished = true; observer.disconnect(); written?.dispose(); clearInterval(timer); done(true); }}
             }};
             const observer = new MutationObserver(check);
             observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
             const timer = setInterval(check, 250); // for what changes without a trace in the document, such as the address
             setTimeout(() => {{ if (!finished) {{ finished = true; done(false); }} }}, {});
             check();",
            DEADLINE.as_millis() - 2_000
        );
        let holds = self.client.execute_async(&script, vec![]).await?;
        if holds != json!(true) {
            self.screenshot("failed").await?;
            let screen = self.terminal_text().await.unwrap_or_default();
            bail!(
                "{}: waited in vain until {what}\nconsole: {:?}\nscreen:\n{}",
                self.name,
                self.console().await?,
                screen.trim_end()
            );
        }
        Ok(())
    }

    /// Waits until an element is there.
    pub async fn until_shown(&self, selector: &str) -> Result<()> {
        self.until(&format!("{selector} is shown"), &format!("!!document.querySelector({})", json!(selector))).await
    }

    /// Waits until the page shows a text.
    pub async fn until_text(&self, text: &str) -> Result<()> {
        self.until(&format!("the page shows {text:?}"), &format!("document.body.innerText.includes({})", json!(text)))
            .await
    }

    /// Waits until the terminal's screen or history shows a text.
    pub async fn until_terminal(&self, text: &str) -> Result<()> {
        let expression = format!("globalThis.berthTerminal.text().includes({})", json!(text));
        self.until(&format!("the terminal shows {text:?}"), &expression).await
    }

    /// Waits until the terminal is attached and shows a prompt.
    pub async fn until_prompt(&self) -> Result<()> {
        self.until_shown(".bar .state.online").await?;
        self.until("the prompt is there", "/[$#] $/m.test(globalThis.berthTerminal.text().trimEnd() + ' ')").await
    }

    /// What the terminal shows, history included.
    pub async fn terminal_text(&self) -> Result<String> {
        let text = self
            .client
            .execute("return globalThis.berthTerminal ? globalThis.berthTerminal.text() : ''", vec![])
            .await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Evaluates JavaScript, for what a person would see and a selector cannot say.
    pub async fn evaluate(&self, expression: &str) -> Result<Value> {
        Ok(self.client.execute(&format!("return ({expression})"), vec![]).await?)
    }

    /// Clicks a button or link by its text.
    pub async fn click(&self, text: &str) -> Result<()> {
        let quoted = json!(text);
        self.until(&format!("{text:?} can be clicked"), &format!("[...document.querySelectorAll('button,a')].some(e => e.innerText.trim() === {quoted} && !e.disabled && e.offsetParent)")).await?;
        let path =
            format!("//*[self::button or self::a][normalize-space()='{text}' and not(ancestor::dialog[not(@open)])]");
        Ok(self.client.find(Locator::XPath(&path)).await?.click().await?)
    }

    /// Clicks a button or link by its text, within an element.
    pub async fn click_in(&self, selector: &str, text: &str) -> Result<()> {
        let within = self.client.find(Locator::Css(selector)).await?;
        let path = format!(
            ".//*[self::button or self::a][normalize-space()='{text}' and (not(ancestor::dialog) or ancestor::dialog[@open])]"
        );
        Ok(within.find(Locator::XPath(&path)).await?.click().await?)
    }

    /// Clicks an element.
    pub async fn click_on(&self, selector: &str) -> Result<()> {
        self.until_shown(selector).await?;
        Ok(self.client.find(Locator::Css(selector)).await?.click().await?)
    }

    /// Types on the keyboard, into whatever has the focus.
    pub async fn keys(&self, keys: &str) -> Result<()> {
        Ok(self.client.active_element().await?.send_keys(keys).await?)
    }

    /// Types a command into the terminal and presses Enter.
    pub async fn run(&self, command: &str) -> Result<()> {
        self.until_shown(".xterm-helper-textarea").await?;
        self.client
            .find(Locator::Css(".xterm-helper-textarea"))
            .await?
            .send_keys(&format!("{command}\u{e007}"))
            .await?;
        Ok(())
    }

    /// Changes the window's size.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        Ok(self.client.set_window_size(width, height).await?)
    }

    /// Keeps a picture in `target/journeys`.
    pub async fn screenshot(&self, moment: &str) -> Result<()> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/journeys");
        std::fs::create_dir_all(&folder)?;
        let image = self.client.screenshot().await?;
        Ok(std::fs::write(folder.join(format!("{}-{moment}.png", self.name)), image)?)
    }

    /// What the browser complained about since the last call: errors, and refusals of the content policy.
    pub async fn console(&self) -> Result<Vec<String>> {
        let entries = self.client.issue_cmd(ConsoleLog).await?;
        let entries = entries.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        let texts =
            severe.map(|entry| entry["message"].as_str().unwrap_or_default().chars().take(CONSOLE_CHARS_MAX).collect());
        Ok(texts.take(CONSOLE_LINES_MAX).collect())
    }

    /// Ends the browser.
    pub async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }
}

/// Chromedriver's way to read the console.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

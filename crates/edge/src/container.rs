//! `ctx.container`, bound by hand: the `worker` crate's start options lose `env`, and it lacks `setInactivityTimeout`.

use berth_protocol::{
    agent_http::{BOOT_VARIABLE, NAME_VARIABLE, TOKEN_VARIABLE},
    ids::BootId,
    limits::{AGENT_PORT, INACTIVITY_MS_MAX},
};
use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::{Fetcher, Headers, Request, RequestInit, Response, State, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = Object)]
    type Context;
    #[wasm_bindgen(method, getter)]
    fn container(this: &Context) -> Option<RawContainer>;

    #[wasm_bindgen(extends = Object)]
    type RawContainer;
    #[wasm_bindgen(method, getter)]
    fn running(this: &RawContainer) -> bool;
    #[wasm_bindgen(method, getter)]
    fn images(this: &RawContainer) -> JsValue;
    #[wasm_bindgen(method, catch)]
    fn start(this: &RawContainer, options: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn monitor(this: &RawContainer) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn destroy(this: &RawContainer) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setInactivityTimeout)]
    fn set_inactivity_timeout(this: &RawContainer, ms: f64) -> Result<Promise, JsValue>;
}

/// Name of the image in `wrangler.toml`.
const IMAGE: &str = "base";

/// This object's container.
pub(crate) struct Container {
    raw: RawContainer,
    port: Fetcher,
}

/// What one boot is started with.
pub(crate) struct Boot<'a> {
    pub(crate) boot: BootId,
    pub(crate) token: &'a str,
    pub(crate) session_name: &'a str,
}

impl Container {
    /// The container of this object, if the deployment has containers at all.
    pub(crate) fn of(state: &State) -> Result<Self, String> {
        let context: &Context = state.as_raw().unchecked_ref();
        let raw = context.container().ok_or("this deployment has no containers")?;
        let container = state.container().ok_or("this deployment has no containers")?;
        let port = container.get_tcp_port(AGENT_PORT).map_err(|error| error.to_string())?;
        Ok(Self { raw, port })
    }

    /// Whether the runtime has one running.
    pub(crate) fn runs(&self) -> bool {
        self.raw.running()
    }

    /// Lets the container outlive this object's eviction. Before every start and on every construction.
    pub(crate) async fn keep_alive(&self) -> Result<(), String> {
        settle(self.raw.set_inactivity_timeout(INACTIVITY_MS_MAX as f64)).await
    }

    /// Starts it; whether that worked is said by [`Container::ended`].
    pub(crate) fn start(&self, boot: &Boot<'_>) -> Result<(), String> {
        let set = |object: &Object, key: &str, value: JsValue| {
            Reflect::set(object, &key.into(), &value).map(drop).map_err(words)
        };
        // Plain objects: the runtime drops a JavaScript Map without a word.
        let env = Object::new();
        set(&env, TOKEN_VARIABLE, boot.token.into())?;
        set(&env, BOOT_VARIABLE, boot.boot.to_string().into())?;
        set(&env, NAME_VARIABLE, boot.session_name.into())?;
        let options = Object::new();
        set(&options, "env", env.into())?;
        set(&options, "enableInternet", true.into())?;
        let images = self.raw.images();
        if images.is_object() {
            let image = Reflect::get(&images, &IMAGE.into()).map_err(words)?;
            set(&options, "image", image)?;
        }
        self.raw.start(&options.into()).map_err(words)
    }

    /// Returns when the container has ended, with the runtime's word for it if it was not a clean end.
    pub(crate) async fn ended(&self) -> Result<(), String> {
        settle(self.raw.monitor()).await
    }

    /// Destroys it and waits until it is gone.
    pub(crate) async fn destroy(&self) -> Result<(), String> {
        settle(self.raw.destroy()).await
    }

    /// Opens a WebSocket to the agent; the response is its 101, or its refusal.
    pub(crate) async fn upgrade(
        &self,
        path: &str,
        subprotocol: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response, String> {
        let request = || {
            let all = Headers::new();
            all.set("upgrade", "websocket")?;
            all.set("sec-websocket-protocol", subprotocol)?;
            for (name, value) in headers {
                all.set(name, value)?;
            }
            let mut init = RequestInit::new();
            init.with_headers(all);
            Request::new_with_init(&format!("http://container{path}"), &init)
        };
        let request = request().map_err(|error| error.to_string())?;
        self.port.fetch_request(request).await.map_err(|error| error.to_string())
    }
}

async fn settle(promise: Result<Promise, JsValue>) -> Result<(), String> {
    JsFuture::from(promise.map_err(words)?).await.map(drop).map_err(words)
}

/// The runtime's message.
fn words(error: JsValue) -> String {
    let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    message.or_else(|| error.as_string()).unwrap_or_else(|| "unknown".to_owned())
}

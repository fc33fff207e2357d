//! The screen: xterm behind a thin façade in JavaScript (`web/js/terminal.js`).

use crate::texts::t;
use berth_protocol::{limits::PASTE_BYTES_MAX, terminal_frame::Size};
use js_sys::{Object, Reflect, Uint8Array};
use std::any::Any;
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::HtmlElement;

#[wasm_bindgen(module = "/js/terminal.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = openTerminal)]
    async fn open_terminal(host: &HtmlElement, on: &JsValue) -> Result<JsValue, JsValue>;

    type View;
    #[wasm_bindgen(method)]
    fn write(this: &View, bytes: &Uint8Array, parsed: &JsValue);
    #[wasm_bindgen(method)]
    fn reset(this: &View);
    #[wasm_bindgen(method)]
    fn focus(this: &View);
    #[wasm_bindgen(method)]
    fn columns(this: &View) -> u16;
    #[wasm_bindgen(method)]
    fn rows(this: &View) -> u16;
    #[wasm_bindgen(method, js_name = readOnly)]
    fn read_only(this: &View, read_only: bool);
    #[wasm_bindgen(method, js_name = hasSelection)]
    fn has_selection(this: &View) -> bool;
    #[wasm_bindgen(method)]
    fn selection(this: &View) -> String;
    #[wasm_bindgen(method)]
    fn paste(this: &View, text: &str);
    #[wasm_bindgen(method)]
    fn dispose(this: &View);
}

/// What the screen reports.
pub struct Handlers {
    /// Typed or pasted bytes.
    pub data: Box<dyn FnMut(Vec<u8>)>,
    /// Its size in cells changed.
    pub resized: Box<dyn FnMut(Size)>,
    /// The program set a title.
    pub title: Box<dyn FnMut(String)>,
    /// This many bytes more are parsed.
    pub parsed: Box<dyn FnMut(u64)>,
    /// A paste was larger than allowed.
    pub paste_refused: Box<dyn FnMut()>,
    /// The browser does not let the page write the clipboard.
    pub copy_refused: Box<dyn FnMut()>,
}

/// A terminal on the page; dropping it removes it.
pub struct TerminalView {
    view: View,
    parsed: Closure<dyn FnMut(f64)>,
    /// Closures that must live as long as the terminal.
    _handlers: Box<dyn Any>,
}

impl TerminalView {
    /// Loads xterm, if this is the first, and opens it in `host`.
    pub async fn open(host: &HtmlElement, mut handlers: Handlers) -> Result<Self, JsValue> {
        let data = Closure::<dyn FnMut(Uint8Array)>::new(move |bytes: Uint8Array| (handlers.data)(bytes.to_vec()));
        let resized =
            Closure::<dyn FnMut(u16, u16)>::new(move |columns, rows| (handlers.resized)(Size::clamped(columns, rows)));
        let title = Closure::<dyn FnMut(String)>::new(move |title| (handlers.title)(title));
        let refused = Closure::<dyn FnMut()>::new(move || (handlers.paste_refused)());
        let copy_refused = Closure::<dyn FnMut()>::new(move || (handlers.copy_refused)());
        let parsed = Closure::<dyn FnMut(f64)>::new(move |bytes: f64| (handlers.parsed)(bytes as u64));
        let on = Object::new();
        for (name, value) in [
            ("data", data.as_ref()),
            ("resize", resized.as_ref()),
            ("title", title.as_ref()),
            ("pasteRefused", refused.as_ref()),
            ("copyRefused", copy_refused.as_ref()),
            ("pasteBytesMax", &JsValue::from(PASTE_BYTES_MAX as u32)),
            ("label", &JsValue::from(t().terminal)),
        ] {
            Reflect::set(&on, &JsValue::from(name), value)?;
        }
        let view: View = open_terminal(host, &on).await?.unchecked_into();
        Ok(Self { view, parsed, _handlers: Box::new((data, resized, title, refused, copy_refused)) })
    }

    /// Shows output; `parsed` is reported when the screen has taken it.
    pub fn write(&self, bytes: &[u8]) {
        self.view.write(&Uint8Array::from(bytes), self.parsed.as_ref());
    }

    /// Empties the screen and its history.
    pub fn reset(&self) {
        self.view.reset();
    }

    /// Takes the keyboard.
    pub fn focus(&self) {
        self.view.focus();
    }

    /// Its size in cells.
    pub fn size(&self) -> Size {
        Size::clamped(self.view.columns(), self.view.rows())
    }

    /// Whether it takes typing.
    pub fn set_read_only(&self, read_only: bool) {
        self.view.read_only(read_only);
    }

    /// Whether text is selected.
    pub fn has_selection(&self) -> bool {
        self.view.has_selection()
    }

    /// The selected text.
    pub fn selection(&self) -> String {
        self.view.selection()
    }

    /// Pastes as the program expects it (bracketed, if it asked for that).
    pub fn paste(&self, text: &str) {
        self.view.paste(text);
    }
}

impl Drop for TerminalView {
    fn drop(&mut self) {
        self.view.dispose();
    }
}

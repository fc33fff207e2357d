//! Time in the browser: the clock, timers that end with their owner, and times in words.

use crate::texts::t;
use wasm_bindgen::{JsCast, closure::Closure};

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}

/// A timer; dropping it cancels it.
pub struct Timer {
    handle: i32,
    repeats: bool,
    _action: Closure<dyn FnMut()>,
}

impl Timer {
    /// Runs `action` once after `ms`.
    pub fn once(ms: u64, action: impl FnMut() + 'static) -> Option<Self> {
        Self::set(ms, false, action)
    }

    /// Runs `action` every `ms`.
    pub fn every(ms: u64, action: impl FnMut() + 'static) -> Option<Self> {
        Self::set(ms, true, action)
    }

    fn set(ms: u64, repeats: bool, action: impl FnMut() + 'static) -> Option<Self> {
        let window = web_sys::window()?;
        let action = Closure::<dyn FnMut()>::new(action);
        let function = action.as_ref().unchecked_ref();
        let ms = i32::try_from(ms).unwrap_or(i32::MAX);
        let handle = match repeats {
            true => window.set_interval_with_callback_and_timeout_and_arguments_0(function, ms),
            false => window.set_timeout_with_callback_and_timeout_and_arguments_0(function, ms),
        };
        Some(Self { handle: handle.ok()?, repeats, _action: action })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(window) = web_sys::window() {
            match self.repeats {
                true => window.clear_interval_with_handle(self.handle),
                false => window.clear_timeout_with_handle(self.handle),
            }
        }
    }
}

/// How long ago, in words: `just now`, `5 min`, `3 h`, `2 days`.
pub fn ago(then_ms: u64, now_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(then_ms) / 60_000;
    match minutes {
        0 => t().just_now.to_owned(),
        1..60 => t().minutes.replace("{n}", &minutes.to_string()),
        60..2_880 => t().hours.replace("{n}", &(minutes / 60).to_string()),
        _ => t().days.replace("{n}", &(minutes / 1_440).to_string()),
    }
}

//! Short messages about what failed; each stays until dismissed or for a while.

use crate::{texts::t, time::Timer};
use leptos::prelude::*;

/// Milliseconds a message stays: long enough to read two sentences.
const STAY_MS: u64 = 10_000;

/// The messages in view.
#[derive(Clone, Copy)]
pub struct Toasts {
    shown: RwSignal<Vec<(u32, String)>>,
    next: StoredValue<u32>,
}

impl Toasts {
    /// None yet.
    pub fn new() -> Self {
        Self { shown: RwSignal::new(vec![]), next: StoredValue::new(0) }
    }

    /// Shows a message; the same one is not shown twice at once.
    pub fn show(self, text: &str) {
        if self.shown.with_untracked(|shown| shown.iter().any(|(_, other)| other == text)) {
            return;
        }
        let number = self.next.get_value();
        self.next.set_value(number.wrapping_add(1));
        self.shown.update(|shown| shown.push((number, text.to_owned())));
        let timer = Timer::once(STAY_MS, move || self.dismiss(number));
        // It ends by itself; a message dismissed earlier makes it find nothing.
        std::mem::forget(timer);
    }

    fn dismiss(self, number: u32) {
        self.shown.try_update(|shown| shown.retain(|(other, _)| *other != number));
    }
}

impl Default for Toasts {
    fn default() -> Self {
        Self::new()
    }
}

/// Where messages appear.
#[component]
pub fn ToastRegion(
    /// The messages.
    toasts: Toasts,
) -> impl IntoView {
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For each=move || toasts.shown.get() key=|(number, _)| *number let((number, text))>
                <div class="toast">
                    <span>{text}</span>
                    <button aria-label=t().dismiss on:click=move |_| toasts.dismiss(number)>"×"</button>
                </div>
            </For>
        </div>
    }
}

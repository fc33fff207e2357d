//! Journeys: what a user does, on the whole product. One stack for all, a browser for each; `cargo xtask e2e [--list] [NAME]`.

#![allow(clippy::indexing_slicing, reason = "serde_json answers `Null` for what is missing")]

mod containment;
mod first_session;
mod refusals;
mod terminal;

use anyhow::Result;
use berth_tests::{
    browser::{Driver, Page, Viewport},
    stack::Stack,
};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    pin::Pin,
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// What every journey is given.
pub(crate) struct World {
    /// The running product.
    pub(crate) stack: Stack,
    driver: Driver,
}

impl World {
    /// A browser that opened a one-time link and sees the dashboard.
    pub(crate) async fn signed_in(&self, name: &str, viewport: Viewport) -> Result<Page> {
        let page = self.driver.page(name, viewport).await?;
        page.goto(&self.stack.link()?).await?;
        page.until_text("Sessions").await?;
        Ok(page)
    }

    /// A browser on another stack than this world's.
    pub(crate) async fn elsewhere(&self, name: &str, link: &str) -> Result<Page> {
        let page = self.driver.page(name, Viewport::Desktop).await?;
        page.goto(link).await?;
        Ok(page)
    }

    /// A browser that never signed in.
    pub(crate) async fn stranger(&self, name: &str) -> Result<Page> {
        self.driver.page(name, Viewport::Desktop).await
    }

    /// A signed-in browser with a prompt in a fresh session.
    pub(crate) async fn with_prompt(&self, name: &str) -> Result<Page> {
        let page = self.signed_in(name, Viewport::Desktop).await?;
        page.click("New session").await?;
        page.until_prompt().await?;
        Ok(page)
    }

    /// The port of the product.
    pub(crate) fn port(&self) -> u16 {
        self.stack.origin.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
    }
}

/// Ends the browser, if it had nothing to complain about.
pub(crate) async fn finish(page: Page) -> Result<()> {
    let complaints = page.console().await?;
    anyhow::ensure!(complaints.is_empty(), "the browser complained: {complaints:#?}");
    page.close().await
}

type Journey = for<'w> fn(&'w World) -> Pin<Box<dyn Future<Output = Result<()>> + 'w>>;

macro_rules! journeys {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |world| Box::pin($module::$name(world)))),*]
    };
}

const JOURNEYS: &[(&str, Journey)] = journeys![
    first_session::open_terminal,
    first_session::phone_viewport,
    first_session::stop_and_start,
    first_session::rename_and_delete,
    terminal::full_screen_program,
    terminal::reload_keeps_working,
    terminal::resize_reaches_the_program,
    terminal::large_paste_arrives_whole,
    terminal::shell_exit_is_told,
    containment::two_sessions_same_port,
    containment::rm_rf_is_contained,
    containment::host_loopback_refused,
    containment::metadata_refused,
    containment::unix_socket_refused,
    containment::boot_token_is_hidden,
    refusals::foreign_origin_refused,
    refusals::stranger_sees_nothing,
    refusals::link_works_once,
    refusals::bad_requests_are_named,
    refusals::port_taken_is_named,
    refusals::unisolated_says_so,
];

/// The last one of every run: it ends the stack.
const LAST: &str = "ctrl_c_leaves_nothing";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Journeys share a machine of two cores with two browsers and a runtime each: one at a time.
    arguments.test_threads = Some(1);
    let world: Arc<OnceLock<Result<World, String>>> = Arc::default();
    let finished = Arc::new(Mutex::new(()));
    let mut trials: Vec<Trial> = JOURNEYS
        .iter()
        .map(|(name, journey)| {
            let (world, finished) = (Arc::clone(&world), Arc::clone(&finished));
            Trial::test(*name, move || {
                let _one_at_a_time = finished.lock().unwrap_or_else(PoisonError::into_inner);
                let world = started(&world)?;
                run(journey(world)).map_err(|error| Failed::from(format!("{error:#}\n{}", world.stack.logs())))
            })
        })
        .collect();
    let last = Arc::clone(&world);
    trials.push(Trial::test(LAST, move || {
        let world = started(&last)?;
        run(first_session::ctrl_c_leaves_nothing(world)).map_err(|error| Failed::from(format!("{error:#}")))
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    conclusion.exit_code()
}

/// The one stack, started by whichever journey comes first.
fn started(world: &OnceLock<Result<World, String>>) -> Result<&World, Failed> {
    let start = || Ok(World { stack: Stack::start("all", &[])?, driver: Driver::start()? });
    let world = world.get_or_init(|| start().map_err(|error: anyhow::Error| format!("{error:#}")));
    world.as_ref().map_err(|error| Failed::from(error.clone()))
}

fn run(journey: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(journey)
}

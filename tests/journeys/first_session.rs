//! A session from the first click to the last.

use crate::{World, finish};
use anyhow::{Result, ensure};
use berth_tests::{browser::Viewport, stack::Process};

/// One-time link, dashboard, "New session", a prompt; typing, copying, colours.
pub(crate) async fn open_terminal(world: &World) -> Result<()> {
    let page = world.signed_in("open_terminal", Viewport::Desktop).await?;
    page.until_text("No sessions yet").await?;
    page.until_text("Files are not kept yet").await?;
    page.screenshot("empty").await?;
    page.click("New session").await?;
    page.until_prompt().await?;
    page.run("echo $((6*7)) \"$(pwd)\" \"$(id -un)\"").await?;
    page.until_terminal("42 /home/berth/work berth").await?;
    // True colour needs style attributes, xterm's themes need style sheets: both must pass the content policy.
    page.run(r"printf '\033[48;2;90;20;160mVIOLET\033[0m \033[41mRED\033[0m\n'").await?;
    let shown = |word: &str, test: &str| {
        format!(
            "[...document.querySelectorAll('.xterm-rows span')].some(s => s.textContent === '{word}' && getComputedStyle(s).backgroundColor {test})"
        )
    };
    page.until("a true colour is shown", &shown("VIOLET", "=== 'rgb(90, 20, 160)'")).await?;
    page.until("the theme's red is shown", &shown("RED", "!== 'rgba(0, 0, 0, 0)'")).await?;
    let overflowing = "[...document.querySelectorAll('#app *')].filter(e => e.getBoundingClientRect().bottom > innerHeight + 1).map(e => e.className + ':' + e.getBoundingClientRect().bottom)";
    let overflowing =
        page.evaluate(&format!("document.documentElement.scrollHeight > innerHeight ? {overflowing} : []")).await?;
    ensure!(overflowing.as_array().is_some_and(Vec::is_empty), "the session's page scrolls: {overflowing}");
    page.screenshot("prompt").await?;
    page.click_on("a.brand").await?;
    page.until_shown(".card .state.running").await?;
    page.screenshot("dashboard").await?;
    finish(page).await
}

/// On a phone nothing is wider than the screen, and typing works.
pub(crate) async fn phone_viewport(world: &World) -> Result<()> {
    let page = world.signed_in("phone_viewport", Viewport::Phone).await?;
    page.screenshot("dashboard").await?;
    page.click("New session").await?;
    page.until_prompt().await?;
    page.run("echo on-a-$((1))-phone").await?;
    page.until_terminal("on-a-1-phone").await?;
    let width = page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)").await?;
    ensure!(width == 390, "the page is {width} wide");
    let small = "[...document.querySelectorAll('button,a.button')].filter(e => e.offsetParent && e.getBoundingClientRect().height < 44).map(e => e.innerText)";
    let small = page.evaluate(small).await?;
    ensure!(small.as_array().is_some_and(Vec::is_empty), "too small to touch: {small}");
    page.screenshot("terminal").await?;
    finish(page).await
}

/// Stop: the container goes. Start: a fresh one comes, on a cleared screen.
pub(crate) async fn stop_and_start(world: &World) -> Result<()> {
    let page = world.with_prompt("stop_and_start").await?;
    page.run("touch ~/work/file; echo made-$((1))").await?;
    page.until_terminal("made-1").await?;
    page.click("Stop").await?;
    page.until_text("This session has no container now").await?;
    page.screenshot("stopped").await?;
    page.click("Start").await?;
    page.until_prompt().await?;
    page.run("ls ~/work; echo listed-$((2))").await?;
    page.until_terminal("listed-2").await?;
    let text = page.terminal_text().await?;
    ensure!(!text.contains("made-1") && !text.contains("\nfile"), "a fresh container on a cleared screen:\n{text}");
    finish(page).await
}

/// A card is renamed, survives a reload with its name, and is deleted after a question.
pub(crate) async fn rename_and_delete(world: &World) -> Result<()> {
    let page = world.with_prompt("rename_and_delete").await?;
    let url = page.url().await?;
    let id = url.rsplit('/').next().unwrap_or_default().to_owned();
    page.click_on("a.brand").await?;
    let card = format!("[data-session=\"{id}\"]");
    page.until_shown(&card).await?;
    page.click_in(&card, "Rename").await?;
    page.until_shown("input.rename").await?;
    page.keys("Zoë’s <b>project</b>\u{e007}").await?;
    page.until_text("Zoë’s <b>project</b>").await?;
    page.reload().await?;
    page.until_text("Zoë’s <b>project</b>").await?;
    page.click_in(&card, "Delete").await?;
    page.until_shown("dialog[open]").await?;
    page.screenshot("question").await?;
    page.click_in("dialog[open]", "Delete").await?;
    page.until("the card is gone", &format!("!document.querySelector('{card}')")).await?;
    page.goto(&url).await?;
    page.until_text("Nothing here").await?;
    page.click("All sessions").await?;
    page.click("New session").await?;
    page.until_prompt().await?;
    page.click("Stop").await?;
    page.until_text("This session has no container now").await?;
    let stopped = format!("[data-session=\"{}\"]", page.url().await?.rsplit('/').next().unwrap_or_default());
    page.click_on("a.brand").await?;
    page.until_shown(&stopped).await?;
    page.click_in(&stopped, "Delete").await?;
    page.until_shown("dialog[open]").await?;
    page.click_in("dialog[open]", "Delete").await?;
    page.until("the stopped card is gone", &format!("!document.querySelector('{stopped}')")).await?;
    // The browser reports the 404 of a session that is gone; that is what this journey asked for.
    page.console().await?;
    finish(page).await
}

/// Ctrl-C stops running sessions in order and leaves no process.
pub(crate) async fn ctrl_c_leaves_nothing(world: &World) -> Result<()> {
    let page = world.with_prompt("ctrl_c").await?;
    page.run("trap 'sleep 0.2; exit' HUP TERM; echo armed-$((1))").await?;
    page.until_terminal("armed-1").await?;
    let processes = world.stack.processes();
    ensure!(processes.len() >= 4, "engine, runtime and a sandbox run: {processes:#?}");
    world.stack.interrupt()?;
    page.close().await?;
    ensure!(world.stack.wait()?, "it ended well:\n{}", world.stack.logs());
    let left: Vec<_> = processes.into_iter().filter(Process::runs).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    let logs = world.stack.logs();
    ensure!(logs.contains("stopping -> stopped"), "sessions were stopped in order:\n{logs}");
    Ok(())
}

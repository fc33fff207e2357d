//! The terminal as programs and hands use it.

use crate::{World, finish};
use anyhow::{Result, ensure};

/// `vim` and `top` take the whole screen and give it back.
pub(crate) async fn full_screen_program(world: &World) -> Result<()> {
    let page = world.with_prompt("full_screen_program").await?;
    page.run("echo before-$((1)); vi ~/work/note").await?;
    page.until("vi has the alternate screen", "berthTerminal.xterm.buffer.active.type === 'alternate'").await?;
    page.keys("ihello from vi\u{e00c}").await?;
    page.until_terminal("hello from vi").await?;
    page.screenshot("vi").await?;
    page.keys(":wq\u{e007}").await?;
    page.until("the normal screen is back", "berthTerminal.xterm.buffer.active.type === 'normal'").await?;
    page.run("cat ~/work/note; echo after-$((2))").await?;
    page.until_terminal("hello from vi\nafter-2").await?;
    ensure!(page.terminal_text().await?.contains("before-1"), "what was before is still there");
    page.run("top").await?;
    page.until_terminal("load average").await?;
    page.screenshot("top").await?;
    page.keys("q").await?;
    // Whatever is typed before it has ended is top's.
    page.until("top has ended", "berthTerminal.text().trimEnd().endsWith('$')").await?;
    page.run("echo done-$((3))").await?;
    page.until_terminal("done-3").await?;
    finish(page).await
}

/// A reload comes back to the same program and screen, while it goes on running.
pub(crate) async fn reload_keeps_working(world: &World) -> Result<()> {
    let page = world.with_prompt("reload_keeps_working").await?;
    page.run("marker=kept; for i in 1 2 3; do echo line-$i; done").await?;
    page.until_terminal("line-3").await?;
    page.reload().await?;
    page.until_prompt().await?;
    page.until_terminal("line-1\nline-2\nline-3").await?;
    page.run("echo $marker-$((1))").await?;
    page.until_terminal("kept-1").await?;
    // A program asks the terminal who it is; a replay of the question must not be answered into the shell.
    page.run("stty raw -echo; printf '\\033[c'; head -c 7 >/dev/null; stty sane; echo asked-$((1))").await?;
    page.until_terminal("asked-1").await?;
    page.reload().await?;
    page.until_prompt().await?;
    page.run("echo clean-$((1))").await?;
    page.until_terminal("$ echo clean-$((1))\nclean-1").await?;
    finish(page).await
}

/// The program learns the window's size, and learns it again.
pub(crate) async fn resize_reaches_the_program(world: &World) -> Result<()> {
    let page = world.with_prompt("resize").await?;
    let mut sizes = Vec::new();
    for (width, height) in [(1440, 900), (900, 600)] {
        page.resize(width, height).await?;
        page.until("the terminal has refitted", &format!("innerWidth === {width} && Math.abs(document.querySelector('.xterm-screen').getBoundingClientRect().right - innerWidth) < 40")).await?;
        let columns = page.evaluate("berthTerminal.columns()").await?;
        let rows = page.evaluate("berthTerminal.rows()").await?;
        page.run("clear; stty size").await?;
        page.until_terminal(&format!("{rows} {columns}")).await?;
        sizes.push(columns);
    }
    ensure!(sizes.first() != sizes.last(), "the sizes differ: {sizes:?}");
    finish(page).await
}

/// Ten megabytes of paste arrive whole; more than the limit is refused whole.
pub(crate) async fn large_paste_arrives_whole(world: &World) -> Result<()> {
    const BYTES: usize = 10 * 1024 * 1024;
    let page = world.with_prompt("large_paste").await?;
    page.run(&format!(
        "stty raw -echo; echo ready-$((1)); head -c {BYTES} | tr -d 'a\\n' | wc -c; stty sane; echo pasted-$((2))"
    ))
    .await?;
    page.until_terminal("ready-1").await?;
    // Every 64th character is not an `a`: the program counts those, so a lost or doubled chunk shows.
    page.evaluate(&format!("berthTerminal.paste(('a'.repeat(63) + 'b').repeat({}))", BYTES / 64)).await?;
    page.until_terminal("pasted-2").await?;
    page.until_terminal(&(BYTES / 64).to_string()).await?;
    let large = "(() => { const data = new DataTransfer(); data.setData('text/plain', 'x'.repeat(17 * 1024 * 1024)); \
        document.querySelector('.xterm-helper-textarea').dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); })()";
    page.evaluate(large).await?;
    page.until_text("more than 16 MiB").await?;
    page.run("echo still-$((3))").await?;
    page.until_terminal("still-3").await?;
    finish(page).await
}

/// The page says when the shell has ended.
pub(crate) async fn shell_exit_is_told(world: &World) -> Result<()> {
    let page = world.with_prompt("shell_exit").await?;
    page.run("exit 7").await?;
    page.until_text("The shell ended (code 7)").await?;
    page.screenshot("ended").await?;
    finish(page).await
}

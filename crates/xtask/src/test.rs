//! x
use anyhow::Result;
/// x
pub(crate) fn run(_quick: bool) -> Result<()> {
    Ok(())
}
/// x
pub(crate) fn e2e(_rest: &[&str]) -> Result<()> {
    Ok(())
}

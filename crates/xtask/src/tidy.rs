//! x
use anyhow::Result;
/// x
pub(crate) fn run() -> Result<()> {
    Ok(())
}

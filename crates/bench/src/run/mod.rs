//! The whole comparison.
#[derive(clap::Args)]
pub(crate) struct Options {}
pub(crate) async fn main(_options: Options) -> crate::Result<()> {
    Ok(())
}

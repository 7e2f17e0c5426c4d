//! A bare proxy: the practical limit of anything that stands between a client and a server.
//!
//! It understands nothing of what it carries, except, towards a pipe, the ids it must keep apart.

mod http;
mod stdio;

use std::net::Ipv4Addr;

use clap::Args;
use hyper::Uri;
use tokio::net::TcpListener;

use crate::Result;

#[derive(Args)]
pub(crate) struct Options {
    /// The HTTP endpoint to forward to.
    #[arg(long, required_unless_present = "stdio")]
    to: Option<Uri>,
    /// The command to forward to over its stdin and stdout, instead.
    #[arg(long, num_args = 1.., allow_hyphen_values = true, conflicts_with = "to", value_name = "CMD")]
    stdio: Vec<String>,
    /// The port to listen on; 0 chooses a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

pub(crate) async fn serve(options: Options) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    println!("listening http://{}/mcp", listener.local_addr()?);
    match options.to {
        Some(to) => http::serve(listener, to).await,
        None => stdio::serve(listener, &options.stdio).await,
    }
}

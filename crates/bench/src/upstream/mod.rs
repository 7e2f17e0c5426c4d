//! A minimal MCP server, of both eras, over HTTP or stdio.
//!
//! It must cost next to nothing, so that the gateway before it is what is measured: messages are
//! parsed once and borrowed, large texts are made once and copied, or read once and compared.

mod answer;
mod http;
mod message;
mod seen;
mod stdio;

use std::net::Ipv4Addr;

use clap::Args;
use tokio::net::TcpListener;

use crate::Result;
use answer::Server;

#[derive(Args)]
pub(crate) struct Options {
    /// The port to listen on; 0 chooses a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Speak newline-delimited JSON over stdin and stdout instead.
    #[arg(long)]
    stdio: bool,
    /// How many tools to list, the five that work included.
    #[arg(long, default_value_t = 5)]
    tools: usize,
    /// The size of the text that `payload` answers when it is not told, in bytes.
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Never answer `tools/list`.
    #[arg(long)]
    hang_list: bool,
}

pub(crate) async fn serve(options: Options) -> Result<()> {
    let server = Server::new(options.tools, options.payload, options.hang_list);
    if options.stdio {
        return stdio::serve(server);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    println!("listening http://{}/mcp", listener.local_addr()?);
    http::serve(listener, server).await
}

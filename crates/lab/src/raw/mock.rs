//! `pointsman-lab mock`: a server that answers each request at once with the same chat completion, in one write.

use std::io::Write as _;
use std::net::Ipv4Addr;

use pointsman_cli::failure::Failure;
use pointsman_cli::wait_for_end;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::Reader;
use crate::bench::upstream::ANSWER;

/// Arguments of `pointsman-lab mock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its port on the loopback address; 0 takes one that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// End when standard input does, so that it does not outlive who started it
    #[arg(long)]
    until_stdin_ends: bool,
}

/// Prints its address and answers until Ctrl-C, or until standard input ends.
///
/// # Errors
/// [`Failure::Failed`] if the port is taken.
pub fn run(args: &Args) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::Failed(format!("cannot listen on port {}: {error}", args.port))
    };
    pointsman_cli::runtime()?.block_on(async {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await;
        let listener = bound.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut out = std::io::stdout();
        writeln!(out, "{address}")
            .and_then(|()| out.flush())
            .map_err(|error| Failure::Failed(error.to_string()))?;
        tokio::spawn(serve(listener));
        wait_for_end(args.until_stdin_ends).await
    })
}

async fn serve(listener: TcpListener) {
    let length = ANSWER.len();
    let answer: &'static [u8] = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{ANSWER}"
    )
    .leak()
    .as_bytes();
    while let Ok((stream, _)) = listener.accept().await {
        // Else the kernel holds an answer back until the one before is acknowledged.
        let _ = stream.set_nodelay(true);
        tokio::spawn(answer_all(stream, answer));
    }
}

/// A connection that breaks is its client's to report.
async fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    let mut reader = Reader::default();
    while let Ok(Some(_)) = reader.next(&mut stream).await {
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

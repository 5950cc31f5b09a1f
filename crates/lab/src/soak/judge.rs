//! A judge for a soak: grades whatever it is asked about after a while, so that clients can leave while their request is held, and
//! counts the questions.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use pointsman_cli::failure::Failure;
use pointsman_harness::judge::graded;

/// How long it takes for a grade.
const TAKES: Duration = Duration::from_millis(30);
/// When a client leaves: its request is held by then, and the grade has not come.
const LEAVES_AFTER: Duration = Duration::from_millis(10);

/// A running judge; it ends with the process.
#[derive(Debug, Clone)]
pub struct SoakJudge {
    /// Its address.
    pub address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl SoakJudge {
    /// Starts one, on a thread of its own.
    ///
    /// # Errors
    /// [`Failure::Failed`] if no port can be had.
    pub fn start() -> Result<SoakJudge, Failure> {
        let failed =
            |error: std::io::Error| Failure::Failed(format!("cannot open the judge: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let judge = SoakJudge {
            address: listener.local_addr().map_err(failed)?,
            asked: Arc::default(),
        };
        let runtime = pointsman_cli::runtime()?;
        let asked = Arc::clone(&judge.asked);
        std::thread::spawn(move || runtime.block_on(serve(listener, asked)));
        Ok(judge)
    }

    /// Questions so far, about prompts and about answers.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, asked: Arc<AtomicU64>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let asked = Arc::clone(&asked);
        let answer = service_fn(move |request| answer(request, Arc::clone(&asked)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let number = asked.fetch_add(1, Ordering::Relaxed);
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    tokio::time::sleep(TAKES).await;
    let grade = (number % 10) as u8;
    let mut response = Response::new(Full::new(Bytes::from(graded(grade))));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Sends a request and leaves before its answer.
///
/// # Errors
/// [`Failure::Failed`] if nothing listens at the address.
pub async fn send_and_leave(address: SocketAddr, body: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::Failed(format!("a client that leaves could not send: {error}"))
    };
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    let length = body.len();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    let request = head + body;
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    tokio::time::sleep(LEAVES_AFTER).await;
    Ok(())
}

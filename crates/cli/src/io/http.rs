//! One keep-alive HTTP/1.1 connection to the loopback address: what the demo, the benchmark and the soak send requests over.
//!
//! No TLS, no pool, no redirects; bodies whole.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::failure::Failure;

/// An error while a request is sent or its answer read; shown as text only.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// From the first byte sent to the last byte read.
    pub took: Duration,
}

impl Answer {
    /// A header as text; `None` if it is absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An open connection; one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nothing listens there.
    pub async fn open(address: SocketAddr) -> Result<Connection, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        // The task ends with the connection; the request reports its error.
        tokio::spawn(driver);
        Ok(Connection { sender, address })
    }

    /// Connects to an Envoy's listener.
    ///
    /// # Errors
    /// [`Failure::Failed`] if nothing listens there.
    pub async fn to_envoy(listener: SocketAddr) -> Result<Connection, Failure> {
        let opened = Connection::open(listener).await;
        opened.map_err(|error| Failure::Failed(format!("cannot connect to Envoy: {error}")))
    }

    /// Whether the other side has closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Gets a path.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn get(&mut self, path: &str) -> Result<Answer, Error> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Posts a JSON body.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, Error> {
        self.send(Method::POST, path, &[], body).await
    }

    /// Posts a JSON body with these headers, by name and value.
    ///
    /// # Errors
    /// If the connection breaks, or a header is not one.
    pub async fn post_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Error> {
        self.send(Method::POST, path, headers, body).await
    }

    /// Posts a chat request that has to be answered with 200.
    ///
    /// # Errors
    /// [`Failure::Failed`] if it is not.
    pub async fn chat(&mut self, body: Bytes) -> Result<Answer, Failure> {
        match self.post("/v1/chat/completions", body).await {
            Ok(answer) if answer.status == 200 => Ok(answer),
            Ok(Answer { status, .. }) => Err(Failure::Failed(format!(
                "a request was answered with {status}"
            ))),
            Err(error) => Err(Failure::Failed(format!("a request failed: {error}"))),
        }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        self.sender.ready().await?;
        let start = Instant::now();
        let response = self.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            took: start.elapsed(),
        })
    }
}

//! An HTTP/2 client without encryption that sends a body in the pieces and with the trailers it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::http1::Response;

/// As for HTTP/1.1.
const TIMEOUT: Duration = Duration::from_secs(30);

/// POSTs `pieces` to `path` on a connection of its own, `trailers` after them.
///
/// # Errors
/// One line where there is no whole response within the time limit.
pub fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &[u8])],
    pieces: &[&[u8]],
    trailers: &[(&str, &str)],
) -> Result<Response, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        tokio::time::timeout(TIMEOUT, send(address, path, headers, pieces, trailers))
            .await
            .map_err(|_| "no response in time".to_owned())?
            .map_err(|error| error.to_string())
    })
}

async fn send(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &[u8])],
    pieces: &[&[u8]],
    trailers: &[(&str, &str)],
) -> Result<Response, Box<dyn std::error::Error>> {
    let socket = tokio::net::TcpStream::connect(address).await?;
    let (client, connection) = h2::client::handshake(socket).await?;
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut stream) = client
        .ready()
        .await?
        .send_request(request.body(())?, false)?;
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        let last = index + 1 == pieces.len() && trailers.is_empty();
        stream.send_data(Bytes::copy_from_slice(piece), last)?;
    }
    if !trailers.is_empty() {
        let mut map = http::HeaderMap::new();
        for (name, value) in trailers {
            map.insert(
                http::HeaderName::from_bytes(name.as_bytes())?,
                value.parse()?,
            );
        }
        stream.send_trailers(map)?;
    } else if pieces.is_empty() {
        stream.send_data(Bytes::new(), true)?;
    }
    let (head, mut body) = response.await?.into_parts();
    let mut received = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
    }
    Ok(Response {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect(),
        body: received,
        complete: true,
    })
}

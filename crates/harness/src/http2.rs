//! An HTTP/2 client without encryption that sends a body in the given pieces and with the given trailers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::http1::Response;

/// As for HTTP/1.1.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a request with `pieces` as its body to `path` on a connection of its own, `trailers` after them. A server that has
/// answered before it received everything does not get the rest.
///
/// # Errors
/// One line if there is no whole response within the time limit.
pub fn exchange(
    address: SocketAddr,
    (method, path): (&str, &str),
    headers: &[(&str, &[u8])],
    pieces: &[&[u8]],
    trailers: &[(&str, &str)],
) -> Result<Response, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        tokio::time::timeout(
            TIMEOUT,
            send(address, (method, path), headers, pieces, trailers),
        )
        .await
        .map_err(|_| "no response in time".to_owned())?
        .map_err(|error| error.to_string())
    })
}

async fn send(
    address: SocketAddr,
    (method, path): (&str, &str),
    headers: &[(&str, &[u8])],
    pieces: &[&[u8]],
    trailers: &[(&str, &str)],
) -> Result<Response, Box<dyn std::error::Error>> {
    let socket = tokio::net::TcpStream::connect(address).await?;
    let (client, connection) = h2::client::handshake(socket).await?;
    tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut stream) = client
        .ready()
        .await?
        .send_request(request.body(())?, false)?;
    let mut map = http::HeaderMap::new();
    for (name, value) in trailers {
        let name = http::HeaderName::from_bytes(name.as_bytes())?;
        map.insert(name, value.parse()?);
    }
    // If the stream is over, the answer says why: the errors of sending say only that it is.
    let _ = send_body(&mut stream, pieces, map).await;
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

async fn send_body(
    stream: &mut h2::SendStream<Bytes>,
    pieces: &[&[u8]],
    trailers: http::HeaderMap,
) -> Result<(), h2::Error> {
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        let last = index + 1 == pieces.len() && trailers.is_empty();
        stream.send_data(Bytes::copy_from_slice(piece), last)?;
    }
    if !trailers.is_empty() {
        stream.send_trailers(trailers)
    } else if pieces.is_empty() {
        stream.send_data(Bytes::new(), true)
    } else {
        Ok(())
    }
}

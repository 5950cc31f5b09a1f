//! An OpenTelemetry collector that keeps what it is sent: OTLP over gRPC, read as far as attributes go.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::spawn;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

/// A log record or a span.
#[derive(Debug, Clone)]
pub struct Record {
    /// The service that it was sent to, such as `/opentelemetry.proto.collector.logs.v1.LogsService/Export`.
    pub service: String,
    /// Its attributes whose values are texts.
    pub attributes: Vec<(String, String)>,
    /// The id of its trace.
    pub trace: Vec<u8>,
    /// All of its bytes.
    pub bytes: Vec<u8>,
}

impl Record {
    /// The value of an attribute; of one that is there twice, none.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().filter(|(key, _)| key == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}

/// A running collector, until the process ends.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Record>>>,
}

impl Collector {
    /// Starts one on a port of the operating system's choice.
    ///
    /// # Errors
    /// If none is free.
    pub fn start() -> std::io::Result<Collector> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        let received = Arc::<Mutex<Vec<Record>>>::default();
        let kept = Arc::clone(&received);
        spawn(move || {
            runtime.block_on(async {
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(socket, Arc::clone(&kept)));
                }
            });
        });
        Ok(Collector { address, received })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that services whose name holds `service` have sent so far.
    pub fn received(&self, service: &str) -> Vec<Record> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let found = received
            .iter()
            .filter(|request| request.service.contains(service));
        found.cloned().collect()
    }
}

async fn serve(socket: TcpStream, kept: Arc<Mutex<Vec<Record>>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(call(request, respond, Arc::clone(&kept)));
    }
}

/// One call: its messages are kept, the answer is the empty message and status 0.
async fn call(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    kept: Arc<Mutex<Vec<Record>>>,
) -> Option<()> {
    let service = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        bytes.extend_from_slice(&data);
    }
    let mut rest = bytes.as_slice();
    // A byte for compression, four for the length, the message.
    while let [0, a, b, c, d, message @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (message, after) = message.split_at_checked(length)?;
        let records = records(&service, message);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(records);
        rest = after;
    }
    let head = http::Response::builder().header("content-type", "application/grpc");
    let mut stream = respond.send_response(head.body(()).ok()?, false).ok()?;
    stream.send_data(Bytes::from_static(&[0; 5]), false).ok()?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers).ok()
}

/// Resource, scope, record: fields 1, 2 and 2 of logs and of traces. Attributes are field 6 of the one and 9 of the other,
/// the trace's id 9 and 1.
fn records(service: &str, message: &[u8]) -> Vec<Record> {
    let (attributes, trace) = match service.contains("Trace") {
        true => (9, 1),
        false => (6, 9),
    };
    let mut found = Vec::new();
    for resource in fields(message, 1) {
        for scope in fields(resource, 2) {
            for record in fields(scope, 2) {
                found.push(Record {
                    service: service.to_owned(),
                    attributes: fields(record, attributes)
                        .into_iter()
                        .filter_map(pair)
                        .collect(),
                    trace: fields(record, trace).concat(),
                    bytes: record.to_vec(),
                });
            }
        }
    }
    found
}

/// A `KeyValue` whose value is a text, or a list of texts, which are joined by commas.
fn pair(message: &[u8]) -> Option<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let key = fields(message, 1).first().map(|key| text(key))?;
    let value = *fields(message, 2).first()?;
    if let Some(value) = fields(value, 1).first() {
        return Some((key, text(value)));
    }
    let values = fields(fields(value, 5).first()?, 1);
    let values = values.into_iter().flat_map(|value| fields(value, 1));
    Some((key, values.map(text).collect::<Vec<_>>().join(",")))
}

/// The fields of this number that have a length: messages and texts.
fn fields(mut message: &[u8], wanted: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(tag) = varint(&mut message) {
        let skipped = match tag & 7 {
            0 => varint(&mut message).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut message).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        let Some((field, rest)) = skipped.and_then(|length| message.split_at_checked(length))
        else {
            break;
        };
        if tag & 7 == 2 && tag >> 3 == wanted {
            found.push(field);
        }
        message = rest;
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read() {
        // KeyValue {key: "a", value: {string_value: "bc"}} as attribute 6 of a record, after a fixed64 and a varint.
        let pair = [10, 1, b'a', 18, 4, 10, 2, b'b', b'c'];
        let mut record = vec![9, 0, 0, 0, 0, 0, 0, 0, 0, 16, 200, 1, 50, 9];
        record.extend(pair);
        let mut scope = vec![18, 23];
        scope.extend(record);
        let mut resource = vec![18, 25];
        resource.extend(scope);
        let mut message = vec![10, 27];
        message.extend(resource);
        let found = records("Logs", &message);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found.first().map(|item| item.attributes.clone()),
            Some(vec![("a".to_owned(), "bc".to_owned())])
        );
    }
}

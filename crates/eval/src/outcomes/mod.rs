//! Outcome files: what models made of prompts, one JSON object a line, plain or gzip. Read as a stream by as many threads as
//! there are cores; what a line means is `row`'s. docs/eval.md describes the format.

pub mod row;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

pub use row::{Outcome, Row};

use crate::error::Error;
use crate::progress::Progress;

/// Lines that a thread takes at once.
const BATCH: usize = 32;

/// The longest line that is read, in bytes: a prompt of a million tokens has 4 MB.
const LONGEST: u64 = 64 << 20;

/// A line that is not a row, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The line, from 1.
    pub line: usize,
    /// The problem.
    pub message: String,
}

/// Contents of a file.
#[derive(Debug)]
pub struct Contents<T> {
    /// The result for each row, in the order of the file.
    pub rows: Vec<T>,
    /// The lines that are not rows.
    pub bad: Vec<BadLine>,
}

/// A batch of lines with their numbers.
type Batch = Vec<(usize, Vec<u8>)>;

/// Reads at most `most` rows of the file at `path` and makes of each what `make`'s closures make of it; `make` is called once a
/// thread.
///
/// # Errors
/// [`Error::Input`] if the file cannot be opened. One that cannot be read to its end gives the rows before that and a bad
/// line.
pub fn read<T: Send, W: FnMut(Row) -> T>(
    path: &Path,
    most: Option<usize>,
    make: impl Fn() -> W + Sync,
) -> Result<Contents<T>, Error> {
    let (mut lines, bytes) = Lines::open(path)?;
    let length = std::fs::metadata(path).map_or(0, |about| about.len());
    let name = path.file_name().unwrap_or(path.as_os_str());
    let mut progress = Progress::for_bytes(&name.to_string_lossy(), length);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let (send, receive) = mpsc::sync_channel::<Batch>(4 * threads);
    let receive = Mutex::new(receive);
    let mut failed = None;
    let mut made = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(&receive, make())))
            .collect();
        failed = feed(&mut lines, most, &send, || {
            progress.reach(bytes.load(Ordering::Relaxed));
        });
        drop(send);
        let made = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_default());
        made.collect::<Vec<_>>()
    });
    progress.finish();
    made.sort_by_key(|(line, _)| *line);
    let mut contents = Contents {
        rows: Vec::with_capacity(made.len()),
        bad: Vec::new(),
    };
    for (line, one) in made {
        match one {
            Ok(row) => contents.rows.push(row),
            Err(message) => contents.bad.push(BadLine { line, message }),
        }
    }
    contents.bad.extend(failed);
    Ok(contents)
}

/// Sends lines until the file ends, `most` were sent, or it cannot be read further: that last is returned.
fn feed(
    lines: &mut Lines,
    most: Option<usize>,
    send: &mpsc::SyncSender<Batch>,
    mut sent: impl FnMut(),
) -> Option<BadLine> {
    let mut left = most.unwrap_or(usize::MAX);
    let mut batch = Batch::new();
    let mut failed = None;
    while left > 0 {
        match lines.next() {
            Some(Ok(line)) => batch.push(line),
            Some(Err(bad)) => {
                failed = Some(bad);
                break;
            }
            None => break,
        }
        left -= 1;
        if batch.len() == BATCH {
            // Nobody receives only if every worker has panicked, which joining them shows.
            let _ = send.send(std::mem::take(&mut batch));
            sent();
        }
    }
    let _ = send.send(batch);
    failed
}

fn work<T>(
    receive: &Mutex<mpsc::Receiver<Batch>>,
    mut make: impl FnMut(Row) -> T,
) -> Vec<(usize, Result<T, String>)> {
    let mut made = Vec::new();
    loop {
        let batch = {
            let receive = receive.lock().unwrap_or_else(PoisonError::into_inner);
            receive.recv()
        };
        let Ok(batch) = batch else { return made };
        for (number, line) in batch {
            made.push((number, Row::parse(&line).map(&mut make)));
        }
    }
}

/// The lines of a file that are not blank, with their numbers.
struct Lines {
    reader: Box<dyn BufRead + Send>,
    number: usize,
}

impl Lines {
    /// The file's lines, and the bytes read of it so far.
    fn open(path: &Path) -> Result<(Lines, Arc<AtomicU64>), Error> {
        let unreadable =
            |error: io::Error| Error::Input(format!("cannot read `{}`: {error}", path.display()));
        let file = File::open(path).map_err(unreadable)?;
        let bytes = Arc::new(AtomicU64::new(0));
        let mut counted = BufReader::new(Counted {
            file,
            bytes: Arc::clone(&bytes),
        });
        // The first bytes of a file state its form, whatever its name.
        let zipped = counted
            .fill_buf()
            .map_err(unreadable)?
            .starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead + Send> = if zipped {
            Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(
                counted,
            )))
        } else {
            Box::new(counted)
        };
        Ok((Lines { reader, number: 0 }, bytes))
    }
}

impl Iterator for Lines {
    type Item = Result<(usize, Vec<u8>), BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.number += 1;
            let line = self.number;
            let mut bytes = Vec::new();
            let mut limited = self.reader.by_ref().take(LONGEST);
            match limited.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(read) if read as u64 == LONGEST => {
                    let message =
                        format!("is longer than {LONGEST} bytes: nothing behind it is read");
                    return Some(Err(BadLine { line, message }));
                }
                Ok(_) if bytes.trim_ascii().is_empty() => {}
                Ok(_) => return Some(Ok((line, bytes))),
                Err(error) => {
                    let message = format!("cannot be read further: {error}");
                    return Some(Err(BadLine { line, message }));
                }
            }
        }
    }
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;

//! Standard input and output, each on a thread of its own, because neither can be read or written without blocking in every
//! place an agent runs (files, pipes, `docker exec`).

use std::io::{self, BufRead, BufReader, Read, Write};

use plumb_core::probe::Reply;
use tokio::sync::{mpsc, oneshot};

use super::line::LINE_BYTES_MAX;

/// Lines that wait to be dispatched; a client that writes faster is slowed down by its pipe.
const LINES_QUEUED: usize = 256;
/// Replies that wait to be written; operations wait when the client does not read.
const REPLIES_QUEUED: usize = 1024;

/// One line of input.
pub(crate) enum Line {
    /// Within the limit, without its newline.
    Whole(Vec<u8>),
    /// Over the limit; it was skipped.
    TooLong,
}

/// Reads lines until the input ends or fails.
pub(crate) fn lines_of(input: impl Read + Send + 'static) -> io::Result<mpsc::Receiver<Line>> {
    let (sender, receiver) = mpsc::channel(LINES_QUEUED);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut input = BufReader::with_capacity(64 * 1024, input);
        while let Ok(Some(line)) = next_line(&mut input) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Writes replies until all senders are gone or the client stops reading; the second value tells when it has ended.
pub(crate) fn replies_to(output: impl Write + Send + 'static) -> io::Result<(mpsc::Sender<Reply>, oneshot::Receiver<()>)> {
    let (sender, mut receiver) = mpsc::channel::<Reply>(REPLIES_QUEUED);
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("stdout".into()).spawn(move || {
        let mut output = output;
        let mut bytes = Vec::new();
        while let Some(reply) = receiver.blocking_recv() {
            bytes.clear();
            append(&mut bytes, &reply);
            // Whatever else is ready goes out with the same write.
            while bytes.len() < 64 * 1024
                && let Ok(reply) = receiver.try_recv()
            {
                append(&mut bytes, &reply);
            }
            if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
                break;
            }
        }
        // Nobody waits when the session has already given up on its client.
        let _ = ended.send(());
    })?;
    Ok((sender, end))
}

fn append(bytes: &mut Vec<u8>, reply: &Reply) {
    let from = bytes.len();
    if serde_json::to_writer(&mut *bytes, reply).is_ok() {
        bytes.push(b'\n');
    } else {
        // Replies have string keys and finite numbers only; should one not serialise, half a line must not stay.
        bytes.truncate(from);
    }
}

fn next_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(Line::Whole(line)));
    }
    if line.len() <= LINE_BYTES_MAX {
        return Ok(Some(Line::Whole(line)));
    }
    skip_line(input)?;
    Ok(Some(Line::TooLong))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(());
        }
        match available.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                input.consume(at + 1);
                return Ok(());
            }
            None => {
                let all = available.len();
                input.consume(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_is_read() {
        let mut text = vec![b'x'; LINE_BYTES_MAX + 5];
        text.extend_from_slice(b"\nnext\nlast");
        let mut input = io::Cursor::new(text);
        assert!(matches!(next_line(&mut input).unwrap(), Some(Line::TooLong)));
        assert!(matches!(next_line(&mut input).unwrap(), Some(Line::Whole(line)) if line == b"next"));
        assert!(matches!(next_line(&mut input).unwrap(), Some(Line::Whole(line)) if line == b"last"));
        assert!(next_line(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let mut text = vec![b'x'; LINE_BYTES_MAX];
        text.push(b'\n');
        let mut input = io::Cursor::new(text);
        assert!(matches!(next_line(&mut input).unwrap(), Some(Line::Whole(line)) if line.len() == LINE_BYTES_MAX));
        assert!(next_line(&mut input).unwrap().is_none());
    }
}

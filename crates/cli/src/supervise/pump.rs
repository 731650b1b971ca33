//! Reads one stream of the child, masks it and writes it on, for as long as there is something to come.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, read, write};
use zeroize::Zeroizing;

use super::wires::Source;
use crate::mask::{MaskStream, Masker};

/// How much is read at once: what a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long an end of the text that could become a secret is held back when nothing follows. A few bytes begin some
/// form of some secret by chance, and may be the end of a prompt: they wait too short to be noticed. More are hardly
/// there by chance: their rest may be slow, and a prompt is not what they are.
const fn hold(bytes: usize) -> Duration {
    match bytes {
        0..4 => Duration::from_millis(100),
        _ => Duration::from_secs(1),
    }
}

/// How long a silence after the child's end is taken for the end of its output, where somebody else still holds it.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// How long after the child's end text is waited for in all.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How much is read after that, while there is some without waiting. What the child itself has written is less.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;

/// One stream on its way from the child to where ours leads.
pub(super) struct Pump {
    source: Source,
    /// Hangs up when the child has ended.
    ended: PipeReader,
    stream: MaskStream,
    /// Whether the output is a pipe or a socket, whose reader can go away. A terminal says by SIGHUP that it does.
    output_has_reader: bool,
}

/// Why a wait is over: the first of these that holds.
#[derive(Clone, Copy)]
enum Woken {
    /// Nobody reads what we write.
    Unread,
    /// There is text, or its end.
    Input,
    /// The child has ended.
    End,
    /// The time is over, or a signal came.
    Time,
}

impl Pump {
    pub(super) fn new(source: Source, ended: &PipeReader, masker: Arc<Masker>) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(&source.output)?.st_mode);
        let output_has_reader = matches!(kind, FileType::Fifo | FileType::Socket);
        Ok(Self { source, ended: ended.try_clone()?, stream: MaskStream::new(masker), output_has_reader })
    }

    /// Runs until the stream ends, until nobody reads what we write, or for a while after the child's end. Then the
    /// stream is closed, and a child that goes on writing sees a closed pipe, as it would without us.
    pub(super) fn run(mut self) -> io::Result<()> {
        match self.pass_on() {
            // EIO: a terminal that hung up.
            Err(Errno::PIPE | Errno::IO | Errno::CONNRESET) => Ok(()),
            other => Ok(other?),
        }
    }

    fn pass_on(&mut self) -> Result<(), Errno> {
        let mut chunk = Zeroizing::new(vec![0; CHUNK_BYTES]);
        let mut masked = Vec::with_capacity(CHUNK_BYTES);
        let mut drain: Option<Drain> = None;
        let mut hold_until = None;
        loop {
            let until = [hold_until, drain.as_ref().map(Drain::until)].into_iter().flatten().min();
            match self.wait(drain.is_none(), until)? {
                Woken::Input => {
                    let bytes = read_some(&self.source.input, &mut chunk)?;
                    if bytes == 0
                        || drain.as_mut().is_some_and(|drain| drain.is_over_after(bytes, Instant::now()))
                    {
                        break;
                    }
                    self.stream.push(&chunk[..bytes], &mut masked);
                    let held = self.stream.held_bytes();
                    hold_until = (held > 0).then(|| Instant::now() + hold(held));
                }
                Woken::End => drain = Some(Drain::new(Instant::now())),
                Woken::Unread => return Ok(()),
                Woken::Time => {
                    let now = Instant::now();
                    if hold_until.is_some_and(|until| until <= now) {
                        self.stream.flush(&mut masked);
                        hold_until = None;
                    }
                    if drain.as_ref().is_some_and(|drain| drain.until() <= now) {
                        break;
                    }
                }
            }
            write_all(&self.source.output, &masked)?;
            masked.clear();
        }
        self.stream.flush(&mut masked);
        write_all(&self.source.output, &masked)
    }

    fn wait(&self, for_end: bool, until: Option<Instant>) -> Result<Woken, Errno> {
        let mut fds = vec![(Woken::Input, PollFd::new(&self.source.input, PollFlags::IN))];
        if self.output_has_reader {
            // Its errors are always told.
            fds.insert(0, (Woken::Unread, PollFd::new(&self.source.output, PollFlags::empty())));
        }
        if for_end {
            fds.push((Woken::End, PollFd::new(&self.ended, PollFlags::IN)));
        }
        let (reasons, mut fds): (Vec<Woken>, Vec<PollFd<'_>>) = fds.into_iter().unzip();

        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout).expect("seconds fit"));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let happened = fds.iter().position(|fd| !fd.revents().is_empty());
        Ok(happened.map_or(Woken::Time, |index| reasons[index]))
    }
}

/// How much longer a stream is read whose child has ended.
struct Drain {
    silence_until: Instant,
    until: Instant,
    bytes_late: usize,
}

impl Drain {
    fn new(now: Instant) -> Self {
        Self { silence_until: now + SILENCE_MAX, until: now + DRAIN_MAX, bytes_late: 0 }
    }

    /// How long to wait for text.
    fn until(&self) -> Instant {
        self.silence_until.min(self.until)
    }

    /// Notes that so many bytes have come, and says whether it is enough.
    fn is_over_after(&mut self, bytes: usize, now: Instant) -> bool {
        self.silence_until = now + SILENCE_MAX;
        if now > self.until {
            self.bytes_late += bytes;
        }
        self.bytes_late > DRAIN_BYTES_MAX
    }
}

/// Reads what is there; 0 at the end.
fn read_some(input: impl AsFd, chunk: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match read(&input, &mut *chunk) {
            Err(Errno::INTR) => {}
            // So Linux says that the last holder of a pseudo-terminal has closed it.
            Err(Errno::IO) => return Ok(0),
            other => return other,
        }
    }
}

/// Writes all of it, waiting where the other side is slow.
pub(super) fn write_all(output: &OwnedFd, mut text: &[u8]) -> Result<(), Errno> {
    while !text.is_empty() {
        match write(output, text) {
            Ok(bytes) => text = &text[bytes..],
            Err(Errno::INTR) => {}
            // Somebody who shares our stdout has made it non-blocking.
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(output, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_of_a_secret_is_held_longer_when_it_is_hardly_there_by_chance() {
        assert!(hold(1) < hold(4));
        assert_eq!(hold(3), hold(1));
    }

    #[test]
    fn after_the_childs_end_silence_and_chatter_both_come_to_an_end() {
        let end = Instant::now();
        let seconds = |seconds: f64| end + Duration::from_secs_f64(seconds);
        let mut drain = Drain::new(end);
        assert_eq!(drain.until(), seconds(1.0));

        // Somebody chats: each line earns a second more, but none beyond the fifth.
        assert!(!drain.is_over_after(10, seconds(0.5)));
        assert_eq!(drain.until(), seconds(1.5));
        assert!(!drain.is_over_after(10, seconds(4.8)));
        assert_eq!(drain.until(), seconds(5.0));

        // Behind a slow reader there is still what the child has written, but not without end.
        assert!(!drain.is_over_after(DRAIN_BYTES_MAX, seconds(9.0)));
        assert_eq!(drain.until(), seconds(5.0));
        assert!(drain.is_over_after(1, seconds(9.0)));
    }
}

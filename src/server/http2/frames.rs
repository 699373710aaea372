//! The frames of an HTTP/2 connection as its deadlines and its budget need them: where a request's head begins
//! and ends, whether answers move, and which frames ask for nothing (RFC 9113 §4.1). Their content is hyper's
//! business.

/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
pub(in crate::server) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// The most that `DATA` can hold beside data (§6.1): the length of the padding, and that.
const MAX_PADDING: usize = 256;

/// A `GOAWAY` (§6.8): `last` is the last stream that was looked at, `code` an error code of §7.
pub(in crate::server) fn goaway(last: u32, code: u8) -> [u8; 17] {
    let [a, b, c, d] = last.to_be_bytes();
    [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, code]
}

/// The streams of a connection that have begun and whose answers have not all been written.
#[derive(Debug, Default)]
pub(in crate::server) struct OpenStreams {
    open: Vec<u32>,
    last: u32,
}

/// The head of a frame, without its length.
#[derive(Clone, Copy, Debug)]
struct FrameHead {
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Length, type, flags, stream.
const FRAME_HEAD: usize = 9;

/// One direction of a connection, cut into frames.
#[derive(Debug)]
pub(in crate::server) struct Frames {
    /// Bytes of the preface that are still to come.
    preface: usize,
    head: [u8; FRAME_HEAD],
    filled: usize,
    /// Bytes of the frame under way that are still to come.
    left: usize,
    head_open: bool,
}

/// What some bytes held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Passed {
    /// A field section began and is not complete (§4.3: nothing else may come in between).
    pub(in crate::server) head_open: bool,
    /// A field section became complete.
    pub(in crate::server) head: bool,
    /// Something of a field section: `HEADERS` or `CONTINUATION`.
    pub(in crate::server) fields: bool,
    /// Bytes of `DATA`.
    pub(in crate::server) data: usize,
    /// How many field sections began.
    pub(in crate::server) heads: usize,
    /// How many frames began that ask for nothing: neither fields nor data, nor the end of a body.
    pub(in crate::server) idle_frames: usize,
}

impl Frames {
    /// What a client sends.
    pub(in crate::server) fn of_client() -> Frames {
        Frames {
            preface: PREFACE.len(),
            head: [0; FRAME_HEAD],
            filled: 0,
            left: 0,
            head_open: false,
        }
    }

    /// What a server sends.
    pub(in crate::server) fn of_server() -> Frames {
        Frames {
            preface: 0,
            ..Frames::of_client()
        }
    }

    /// Whether a frame could begin here.
    pub(in crate::server) fn is_between_frames(&self) -> bool {
        self.preface == 0 && self.filled == 0
    }

    /// Whether a field section is incomplete.
    pub(in crate::server) fn head_is_open(&self) -> bool {
        self.head_open
    }

    /// Takes the next bytes, however they are cut.
    #[cfg(test)]
    fn feed(&mut self, bytes: &[u8]) -> Passed {
        self.feed_each(bytes, |_| {})
    }

    /// Takes the next bytes of a client, which may open streams.
    pub(in crate::server) fn feed_read(
        &mut self,
        bytes: &[u8],
        streams: &mut OpenStreams,
    ) -> Passed {
        self.feed_each(bytes, |head| streams.note_read(head))
    }

    /// Takes the next bytes to a client, which may close streams.
    pub(in crate::server) fn feed_written(
        &mut self,
        bytes: &[u8],
        streams: &mut OpenStreams,
    ) -> Passed {
        self.feed_each(bytes, |head| streams.note_written(head))
    }

    /// Calls `begins` with the head of each frame that begins.
    fn feed_each(&mut self, bytes: &[u8], mut begins: impl FnMut(FrameHead)) -> Passed {
        let mut passed = Passed::default();
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        let mut bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.filled < FRAME_HEAD {
                let part = bytes.len().min(FRAME_HEAD - self.filled);
                self.head[self.filled..self.filled + part].copy_from_slice(&bytes[..part]);
                self.filled += part;
                bytes = &bytes[part..];
                if self.filled < FRAME_HEAD {
                    break;
                }
                self.left = usize::from(self.head[0]) << 16
                    | usize::from(self.head[1]) << 8
                    | usize::from(self.head[2]);
                self.head_open |= self.kind() == HEADERS;
                begins(self.frame_head());
                passed.heads += usize::from(self.kind() == HEADERS);
                passed.idle_frames += usize::from(self.asks_for_nothing());
            }
            let part = bytes.len().min(self.left);
            match self.kind() {
                DATA => passed.data += part,
                HEADERS | CONTINUATION => passed.fields = true,
                _ => {}
            }
            self.left -= part;
            bytes = &bytes[part..];
            if self.left == 0 {
                self.filled = 0;
                passed.head |= self.close();
            }
        }
        passed.head_open = self.head_open;
        passed
    }

    /// At the end of a frame: whether a field section ends with it.
    fn close(&mut self) -> bool {
        let of_head = matches!(self.kind(), HEADERS | CONTINUATION);
        let ends = of_head && self.head_open && self.head[4] & END_HEADERS != 0;
        self.head_open &= !ends;
        ends
    }

    /// Of the frame whose head has just come.
    fn asks_for_nothing(&self) -> bool {
        let flags = self.head[4];
        match self.kind() {
            HEADERS => false,
            CONTINUATION => self.left == 0,
            DATA if flags & END_STREAM != 0 => false,
            DATA if flags & PADDED != 0 => self.left <= MAX_PADDING,
            DATA => self.left == 0,
            _ => true,
        }
    }

    fn frame_head(&self) -> FrameHead {
        let [_, _, _, kind, flags, a, b, c, d] = self.head;
        FrameHead {
            kind,
            flags,
            stream: u32::from_be_bytes([a & 0x7f, b, c, d]),
        }
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }
}

impl OpenStreams {
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The number of the last one that began.
    pub(in crate::server) fn last(&self) -> u32 {
        self.last
    }

    fn note_read(&mut self, head: FrameHead) {
        match head.kind {
            HEADERS if head.stream > self.last => {
                self.last = head.stream;
                self.open.push(head.stream);
            }
            RST_STREAM => self.close(head.stream),
            _ => {}
        }
    }

    fn note_written(&mut self, head: FrameHead) {
        let ends = matches!(head.kind, HEADERS | DATA) && head.flags & END_STREAM != 0;
        if ends || head.kind == RST_STREAM {
            self.close(head.stream);
        }
    }

    fn close(&mut self, stream: u32) {
        self.open.retain(|open| *open != stream);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = (length as u32).to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(0, length));
        frame
    }

    fn passed(head_open: bool, head: bool, fields: bool) -> Passed {
        Passed {
            head_open,
            head,
            fields,
            ..Passed::default()
        }
    }

    /// Without what the budget counts.
    fn timing(passed: Passed) -> Passed {
        Passed {
            heads: 0,
            idle_frames: 0,
            ..passed
        }
    }

    #[test]
    fn heads_and_data() {
        const PING: u8 = 6;
        const SETTINGS: u8 = 4;
        let whole = frame(HEADERS, END_HEADERS, 20);
        let rows = [
            ("nothing", vec![], passed(false, false, false)),
            (
                "settings",
                frame(SETTINGS, 0, 6),
                passed(false, false, false),
            ),
            (
                "ping's flag is no END_HEADERS",
                frame(PING, END_HEADERS, 8),
                passed(false, false, false),
            ),
            ("a head", whole.clone(), passed(false, true, true)),
            (
                "an empty head",
                frame(HEADERS, END_HEADERS, 0),
                passed(false, true, true),
            ),
            (
                "half a head",
                whole[..15].to_vec(),
                passed(true, false, true),
            ),
            (
                "head to be continued",
                frame(HEADERS, 0, 20),
                passed(true, false, true),
            ),
            (
                "head continued",
                [
                    frame(HEADERS, 0, 3),
                    frame(CONTINUATION, 0, 2),
                    frame(CONTINUATION, END_HEADERS, 1),
                ]
                .concat(),
                passed(false, true, true),
            ),
            (
                "a second head under way",
                [whole.clone(), frame(HEADERS, 0, 1)].concat(),
                passed(true, true, true),
            ),
            (
                "data",
                frame(DATA, 0, 70_000),
                Passed {
                    data: 70_000,
                    ..Passed::default()
                },
            ),
            (
                "half a frame's head",
                whole[..5].to_vec(),
                passed(false, false, false),
            ),
        ];
        for (name, bytes, expected) in rows {
            let of_server = Frames::of_server().feed(&bytes);
            assert_eq!(timing(of_server), expected, "{name}");
            let greeted = [PREFACE.to_vec(), bytes].concat();
            let of_client = Frames::of_client().feed(&greeted);
            assert_eq!(timing(of_client), expected, "{name} of a client");
        }
    }

    #[test]
    fn which_frames_ask_for_nothing() {
        let rows = [
            ("settings", frame(4, 0, 0), 1),
            ("its acknowledgement", frame(4, 1, 0), 1),
            ("ping", frame(6, 0, 8), 1),
            ("window update", frame(8, 0, 4), 1),
            ("priority", frame(2, 0, 5), 1),
            ("reset", frame(3, 0, 4), 1),
            ("an unknown kind", frame(0xfa, 0xff, 20), 1),
            ("a head", frame(HEADERS, END_HEADERS, 20), 0),
            ("a continuation", frame(CONTINUATION, 0, 1), 0),
            ("an empty continuation", frame(CONTINUATION, 0, 0), 1),
            ("data", frame(DATA, 0, 1), 0),
            ("no data", frame(DATA, 0, 0), 1),
            ("the end of a body", frame(DATA, END_STREAM, 0), 0),
            ("padding", frame(DATA, PADDED, 256), 1),
            ("data with padding", frame(DATA, PADDED, 257), 0),
            ("many", frame(6, 0, 8).repeat(70), 70),
        ];
        for (name, bytes, expected) in rows {
            let passed = Frames::of_server().feed(&bytes);
            assert_eq!(passed.idle_frames, expected, "{name}");
        }
    }

    #[test]
    fn the_goaway_is_one_frame() {
        let mut frames = Frames::of_server();
        frames.feed(&goaway(7, 0));
        assert!(frames.is_between_frames());
        assert!(!Frames::of_client().is_between_frames());
        frames.feed(&goaway(7, 0)[..16]);
        assert!(!frames.is_between_frames());
    }

    #[test]
    fn streams_are_open_until_their_answer_is_written() {
        let of_stream = |stream: u8, mut frame: Vec<u8>| {
            frame[8] = stream;
            frame
        };
        let (mut read, mut written) = (Frames::of_server(), Frames::of_server());
        let mut streams = OpenStreams::default();
        for stream in [1, 3, 5, 7] {
            let bytes = of_stream(stream, frame(HEADERS, END_HEADERS | END_STREAM, 9));
            read.feed_read(&bytes, &mut streams);
        }
        // Trailers of a request open nothing.
        read.feed_read(
            &of_stream(5, frame(HEADERS, END_HEADERS | END_STREAM, 9)),
            &mut streams,
        );
        assert_eq!(
            (streams.open.as_slice(), streams.last()),
            (&[1, 3, 5, 7][..], 7)
        );
        written.feed_written(&of_stream(1, frame(HEADERS, END_HEADERS, 9)), &mut streams);
        written.feed_written(&of_stream(1, frame(DATA, 0, 9)), &mut streams);
        assert_eq!(streams.open, [1, 3, 5, 7]);
        written.feed_written(&of_stream(1, frame(DATA, END_STREAM, 0)), &mut streams);
        written.feed_written(
            &of_stream(3, frame(HEADERS, END_HEADERS | END_STREAM, 9)),
            &mut streams,
        );
        written.feed_written(&of_stream(5, frame(RST_STREAM, 0, 4)), &mut streams);
        assert_eq!(streams.open, [7]);
        read.feed_read(&of_stream(7, frame(RST_STREAM, 0, 4)), &mut streams);
        assert!(streams.is_empty());
    }

    proptest! {
        /// However the bytes are cut, the same passes.
        #[test]
        fn cuts_do_not_matter(
            frames in proptest::collection::vec((0..10u8, any::<u8>(), 0..40usize), 0..8),
            cuts in proptest::collection::vec(1..30usize, 1..60),
        ) {
            let bytes: Vec<u8> = frames.into_iter().flat_map(|(kind, flags, length)| frame(kind, flags, length)).collect();
            let whole = Frames::of_server().feed(&bytes);
            let (mut pieces, mut rest) = (Frames::of_server(), bytes.as_slice());
            let mut sum = Passed::default();
            for cut in cuts.into_iter().chain(std::iter::once(usize::MAX)) {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                let passed = pieces.feed(piece);
                sum = Passed {
                    head_open: passed.head_open,
                    head: sum.head | passed.head,
                    fields: sum.fields | passed.fields,
                    data: sum.data + passed.data,
                    heads: sum.heads + passed.heads,
                    idle_frames: sum.idle_frames + passed.idle_frames,
                };
                rest = later;
            }
            prop_assert_eq!(sum, whole);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            Frames::of_client().feed(&bytes);
            Frames::of_server().feed(&bytes);
        }
    }
}

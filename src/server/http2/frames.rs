//! The frames of an HTTP/2 connection as its deadlines and its budget need them: where a request's head begins
//! and ends, whether answers move, and which frames ask for nothing (RFC 9113 §4.1). Their content is hyper's
//! business.

/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
pub(in crate::server) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// The most that `DATA` can hold beside data (§6.1): the length of the padding, and that.
const MAX_PADDING: usize = 256;

/// A `GOAWAY` with ENHANCE_YOUR_CALM (§6.8, §7), which says nothing of which requests were looked at.
pub(in crate::server) const ENHANCE_YOUR_CALM: [u8; 17] = [
    0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb,
];

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
    pub(in crate::server) fn feed(&mut self, bytes: &[u8]) -> Passed {
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

    fn kind(&self) -> u8 {
        self.head[3]
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
        frames.feed(&ENHANCE_YOUR_CALM);
        assert!(frames.is_between_frames());
        assert!(!Frames::of_client().is_between_frames());
        frames.feed(&ENHANCE_YOUR_CALM[..16]);
        assert!(!frames.is_between_frames());
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

//! A connection to Redis that stays when no further one is taken.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

pub(crate) struct Console(BufReader<TcpStream>);

impl Console {
    pub(crate) fn connect(port: u16) -> Console {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        Console(BufReader::new(stream))
    }

    /// The line that it answers with.
    pub(crate) fn command(&mut self, words: &[&str]) -> String {
        let command = format!("{}\r\n", words.join(" "));
        let stream = self.0.get_mut();
        stream.write_all(command.as_bytes()).expect("it is open");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it is open");
        line.trim_end().to_owned()
    }
}

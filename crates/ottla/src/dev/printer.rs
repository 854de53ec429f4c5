//! What the brokers say, merged into one stream: each line with its broker's number in front.

use std::io::{self, IsTerminal as _, Write};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many lines may wait. Brokers whose lines cannot be printed wait in turn, as they would for a terminal.
const WAITING_LINES: usize = 1024;

/// One colour for each broker, in turn: those that can be read on black and on white.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// Something that was said.
#[derive(Debug)]
pub(super) struct Line {
    /// By which broker; by this program if by none.
    pub(super) from: Option<i32>,
    pub(super) text: Vec<u8>,
}

/// Starts printing to standard output. It ends when nobody is left to say anything, or when nobody reads.
pub(super) fn start() -> (mpsc::Sender<Line>, JoinHandle<io::Result<()>>) {
    let (sender, mut lines) = mpsc::channel(WAITING_LINES);
    let is_coloured =
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let printed = tokio::task::spawn_blocking(move || {
        while let Some(line) = lines.blocking_recv() {
            print(&mut io::stdout().lock(), &line, is_coloured)?;
        }
        Ok(())
    });
    (sender, printed)
}

fn print(out: &mut impl Write, line: &Line, is_coloured: bool) -> io::Result<()> {
    let (prefix, colour) = match line.from {
        Some(id) => {
            let turn = usize::try_from(id).unwrap_or_default().wrapping_sub(1) % COLOURS.len();
            (format!("broker {id}"), COLOURS.get(turn).copied())
        }
        None => ("ottla dev".to_owned(), None),
    };
    for text in line.text.split(|&byte| byte == b'\n') {
        match colour.filter(|_| is_coloured) {
            Some(colour) => write!(out, "\x1b[{colour}m{prefix} |\x1b[0m ")?,
            None => write!(out, "{prefix} | ")?,
        }
        out.write_all(text)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(from: Option<i32>, text: &str, is_coloured: bool) -> String {
        let mut out = Vec::new();
        print(&mut out, &Line { from, text: text.into() }, is_coloured).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_says_whose_it_is() {
        assert_eq!(printed(Some(2), "hello", false), "broker 2 | hello\n");
        assert_eq!(printed(None, "a\nb", false), "ottla dev | a\nottla dev | b\n");
    }

    #[test]
    fn on_a_terminal_brokers_have_colours_of_their_own() {
        assert_eq!(printed(Some(1), "x", true), "\x1b[36mbroker 1 |\x1b[0m x\n");
        assert_ne!(printed(Some(1), "x", true), printed(Some(2), "x", true).replace('2', "1"));
        assert_eq!(printed(None, "x", true), "ottla dev | x\n");
    }
}

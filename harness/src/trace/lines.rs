//! The lines of a file as events, many at a time: of a long file on a thread beside the one that takes them.
//!
//! **Invariant:** on how many threads lines are read changes nothing about what is taken, or in which order, as long
//! as the file can be read.

use std::collections::VecDeque;
use std::io::{BufRead, Error, Read};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::thread;

use brownout_provider::event::Event;

/// A line longer than this is no line of a trace: a body of a request never stands in one.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// So many bytes are read before their lines are handed on.
const BATCH: usize = 128 * 1024;

/// From so many bytes on, a second thread reads: for fewer, it takes longer to start.
const MANY: u64 = 8 * 1024 * 1024;

/// So many batches are given to the other thread at once, so that it never waits.
const GIVEN: usize = 3;

/// So many bytes are read at most before the first of them is taken, unless a single line is longer.
const MOST_READ: usize = 8 * BATCH;

/// What a line is, with its number in the file.
pub(super) type Line = (u64, serde_json::Result<Event>);

/// Whole lines of a file, and the number of the first.
#[derive(Default)]
struct Batch {
    first: u64,
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

/// Lines with their numbers, each of bounded length.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(input: R) -> Self {
        Self { input, number: 0 }
    }

    /// The number of the line that was read last.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut line = Vec::new();
        while self.append(&mut line)? > 0 {
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
            line.clear();
        }
        Ok(None)
    }

    /// Shows what each of the other lines is, in order, until there are no more or `take` has enough.
    pub(super) fn each(
        &mut self,
        expected: u64,
        take: impl FnMut(&mut Line) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let cores = || thread::available_parallelism().map_or(1, NonZero::get);
        if expected >= MANY && cores() > 1 {
            return self.beside(take);
        }
        self.alone(take)
    }

    /// As [`Lines::each`], on this thread.
    fn alone(&mut self, mut take: impl FnMut(&mut Line) -> ControlFlow<()>) -> Result<(), Error> {
        while let Some(batch) = self.batch()? {
            if batch.events().try_for_each(|mut line| take(&mut line)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// As [`Lines::each`], with another thread that makes events of lines. This one reads them and takes the
    /// events, and where the next ones are not ready, it makes events too.
    fn beside(&mut self, mut take: impl FnMut(&mut Line) -> ControlFlow<()>) -> Result<(), Error> {
        thread::scope(|scope| {
            let (give, given) = channel::<Batch>();
            let (hand_on, made) = channel::<Vec<Line>>();
            let (give_back, used) = channel::<Vec<Line>>();
            let helper = thread::Builder::new().spawn_scoped(scope, move || {
                for batch in given {
                    // Who made them frees them: otherwise both threads wait for the same part of the memory.
                    used.try_iter().for_each(drop);
                    // Who has enough listens no more.
                    if hand_on.send(batch.events().collect()).is_err() {
                        break;
                    }
                }
            });
            if helper.is_err() {
                // Where the system gives no more threads, one is enough.
                return self.alone(take);
            }
            // In the order of the file: how many bytes, and what this thread has made of them, or `None` for what
            // the other one makes.
            let mut next: VecDeque<(usize, Option<Vec<Line>>)> = VecDeque::new();
            let has_room = |next: &VecDeque<(usize, _)>| {
                next.iter().map(|(bytes, _)| bytes).sum::<usize>() < MOST_READ
            };
            loop {
                while next.iter().filter(|(_, made)| made.is_none()).count() < GIVEN
                    && has_room(&next)
                    && let Some(batch) = self.batch()?
                {
                    next.push_back((batch.bytes.len(), None));
                    // Nobody listens where the other thread has panicked, and the scope hands that on.
                    let Ok(()) = give.send(batch) else { return Ok(()) };
                }
                let mut ready = None;
                if let Some((_, None)) = next.front() {
                    ready = made.try_recv().ok();
                    if ready.is_none()
                        && has_room(&next)
                        && let Some(batch) = self.batch()?
                    {
                        let lines = batch.events().collect();
                        next.push_back((batch.bytes.len(), Some(lines)));
                        continue;
                    }
                }
                let (mut lines, is_own) = match next.pop_front() {
                    None => return Ok(()),
                    Some((_, Some(lines))) => (lines, true),
                    Some((_, None)) => match ready.map_or_else(|| made.recv(), Ok) {
                        Ok(lines) => (lines, false),
                        Err(_) => return Ok(()),
                    },
                };
                if lines.iter_mut().try_for_each(&mut take).is_break() {
                    return Ok(());
                }
                if !is_own {
                    // A thread that has ended wants nothing back.
                    let _ = give_back.send(lines);
                }
            }
        })
    }

    /// The next lines, as many as are read at once.
    fn batch(&mut self) -> Result<Option<Batch>, Error> {
        let mut batch = Batch { first: self.number + 1, ..Batch::default() };
        batch.bytes.reserve(BATCH + BATCH / 8);
        while batch.bytes.len() < BATCH && self.append(&mut batch.bytes)? > 0 {
            batch.ends.push(batch.bytes.len());
        }
        Ok((!batch.ends.is_empty()).then_some(batch))
    }

    fn append(&mut self, bytes: &mut Vec<u8>) -> Result<usize, Error> {
        let read = self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', bytes)?;
        self.number += u64::from(read > 0);
        Ok(read)
    }
}

impl Batch {
    /// What each line is; empty ones are left out.
    fn events(&self) -> impl Iterator<Item = Line> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lines = starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end));
        (self.first..)
            .zip(lines)
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, line)| (number, Event::from_line(line)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Lines of several batches, some of them empty, with their ends as asked.
    fn text(lines: u64, end: &str) -> String {
        let line = |number: u64| match number % 7 {
            0 => "\n".to_owned(),
            _ => format!(
                "{{\"seq\":{number},\"at_us\":{number},\"event\":\"run_finished\",\"reason\":\"{}\"}}\n",
                "x".repeat(usize::try_from(number % 300).unwrap_or(0))
            ),
        };
        (1..=lines).map(line).chain([end.to_owned()]).collect()
    }

    type Each<'t> = Lines<BufReader<&'t [u8]>>;

    /// What is taken of a text, until a broken line or so many are taken, and the number of the last line.
    fn taken(
        text: &str,
        most: usize,
        how: impl FnOnce(&mut Each<'_>, &mut dyn FnMut(&mut Line) -> ControlFlow<()>),
    ) -> (Vec<String>, u64) {
        // Of an odd size, so that its ends fall anywhere.
        let mut lines = Lines::of(BufReader::with_capacity(4_093, text.as_bytes()));
        let mut taken = Vec::new();
        how(&mut lines, &mut |(number, line): &mut Line| {
            let broken = line.is_err();
            taken.push(format!("{number} {line:?}"));
            if broken || taken.len() == most {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        (taken, lines.number())
    }

    #[test]
    fn on_how_many_threads_lines_are_read_changes_nothing() {
        let broken = format!("{}{}", text(3_000, "{\"seq\":\n"), text(9_000, ""));
        let all = usize::MAX;
        for (text, most, expected) in [
            (text(9_000, ""), all, 9_000 - 9_000 / 7),
            (text(9_000, "{\"seq\":"), all, 9_000 - 9_000 / 7 + 1),
            (broken, all, 3_000 - 3_000 / 7 + 1),
            (text(9_000, ""), 5, 5),
            (text(9_000, ""), 7_000, 7_000),
            (text(3, ""), all, 3),
            (String::new(), all, 0),
        ] {
            let (alone, last) = taken(&text, most, |lines, take| {
                lines.each(0, take).expect("it can be read");
            });
            let (beside, last_beside) = taken(&text, most, |lines, take| {
                lines.beside(take).expect("it can be read");
            });
            assert_eq!(alone.len(), expected);
            assert_eq!(alone, beside);
            if most == all && !alone.last().is_some_and(|line| line.contains("Err")) {
                assert_eq!(
                    (last, last),
                    (last_beside, u64::try_from(text.lines().count()).expect("few"))
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_on_either_way() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(Error::other("the disk is gone"))
            }
        }
        for expected in [0, MANY] {
            let text = text(5_000, "");
            let mut lines = Lines::of(BufReader::new(Read::chain(text.as_bytes(), Failing)));
            let error = lines.each(expected, |_| ControlFlow::Continue(())).expect_err("it fails");
            assert_eq!(error.to_string(), "the disk is gone");
        }
    }
}

//! The program's output. A dedicated thread writes to standard error, so a stopped terminal, or a pipe that nobody
//! reads, holds up no execution and no signal.

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, Write as _};
use std::mem;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{CUT_OFF, Failure, remedy, with_causes};
use crate::output::pager;
use crate::output::plain::{is_obeyed, json_lines, log_head, plain, without_userinfo};

/// The most bytes that wait to be written; lines beyond it are left out and counted.
const WAITING_MAX_BYTES: usize = 1 << 20;
/// The longest time without progress for which `settle` waits.
const PATIENCE: Duration = Duration::from_secs(1);

static CONSOLE: Console = Console {
    state: Mutex::new(State::new()),
    changed: Condvar::new(),
};

/// Writes a line. A closed or full standard error changes nothing.
pub(crate) fn say(line: &str) {
    let line = without_userinfo(&plain(line));
    let line = match IN_JSON.load(Ordering::Relaxed) {
        true => {
            let mut object = log_head("INFO", "executor");
            object.insert("message".to_owned(), line.into());
            json_lines([Value::Object(object)])
        }
        false => format!("{line}\n"),
    };
    write(line.into_bytes());
}

static IN_JSON: AtomicBool = AtomicBool::new(false);

/// Says everything as JSON from now on, like the log.
pub(crate) fn say_in_json() {
    IN_JSON.store(true, Ordering::Relaxed);
}

/// Writes lines that are fit for a terminal already.
pub(crate) fn write(lines: Vec<u8>) {
    CONSOLE.add(Work::Lines(lines));
}

/// Shows a line of progress instead of the last one, if this is a terminal.
pub(crate) fn show(progress: String) {
    CONSOLE.add(Work::Progress(Some(progress)));
}

/// Removes the progress line, and waits until everything is written or the reader takes nothing any more.
pub(crate) fn settle() {
    CONSOLE.settle();
}

/// Prints a result on standard output, after all pending lines. Signals are heard even if nobody reads it; when the
/// future is dropped, the printing goes on until the process ends.
pub(crate) async fn print(text: String) -> Result<(), Failure> {
    let (sender, printed) = oneshot::channel();
    let text: Arc<str> = text.into();
    let of_thread = Arc::clone(&text);
    let is_paged = pager::is_for(&text);
    let thread = thread::Builder::new().name("output".into());
    let thread = thread.spawn(move || {
        settle();
        let is_shown = is_paged && pager::page(&of_thread);
        let _ = sender.send(match is_shown {
            true => Ok(()),
            false => put(&of_thread),
        });
    });
    match thread {
        Ok(_) if is_paged => tokio::select! {
            printed = printed => printed.unwrap_or(Ok(())),
            () = interrupted() => std::process::exit(CUT_OFF.into()),
        },
        Ok(_) => printed.await.unwrap_or(Ok(())),
        Err(_) => put(&text),
    }
}

/// Waits for Ctrl-C that is not the pager's business.
async fn interrupted() {
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        return pending::<()>().await;
    };
    while interrupt.recv().await.is_some() {
        if !pager::is_shown() {
            return;
        }
    }
    pending::<()>().await;
}

/// Writes a result to standard output. A reader that closes the pipe early is no error.
pub(crate) fn put(text: &str) -> Result<(), Failure> {
    is_read(text).map(drop)
}

/// Writes a part of a result that goes on. Returns whether anybody still reads it.
pub(crate) fn is_read(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Output(error)),
    }
}

/// Work for the writer.
enum Work {
    Lines(Vec<u8>),
    Progress(Option<String>),
}

struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&'static self, work: Work) {
        let mut state = self.lock();
        if !state.has_writer {
            let writer = thread::Builder::new().name("console".into());
            state.has_writer = writer.spawn(|| self.write_out()).is_ok();
        }
        if state.has_writer {
            state.add(work);
            self.changed.notify_all();
        } else if let Work::Lines(lines) = work {
            let _ = io::stderr().write_all(&lines);
        }
    }

    fn settle(&self) {
        let mut state = self.lock();
        if !state.has_writer {
            return;
        }
        state.add(Work::Progress(None));
        self.changed.notify_all();
        while state.is_busy() {
            let before = state.done;
            let waited = self.changed.wait_timeout(state, PATIENCE);
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && now.done == before {
                return;
            }
            state = now;
        }
    }

    /// Runs the writer, for as long as the process lives.
    fn write_out(&self) {
        let bar = bar();
        let mut state = self.lock();
        loop {
            let Some(work) = state.take() else {
                self.changed.notify_all();
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            work.be_done(&bar);
            state = self.lock();
            state.is_writing = false;
            state.done += 1;
        }
    }
}

impl Work {
    fn be_done(self, bar: &ProgressBar) {
        match self {
            Self::Lines(lines) => bar.suspend(|| {
                let _ = io::stderr().write_all(&lines);
            }),
            Self::Progress(Some(progress)) => {
                bar.set_message(progress);
                bar.tick();
            }
            Self::Progress(None) => bar.finish_and_clear(),
        }
    }
}

struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    left_out: u64,
    /// Only the newest is of interest.
    progress: Option<Option<String>>,
    has_writer: bool,
    is_writing: bool,
    done: u64,
}

impl State {
    const fn new() -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            left_out: 0,
            progress: None,
            has_writer: false,
            is_writing: false,
            done: 0,
        }
    }

    fn add(&mut self, work: Work) {
        match work {
            Work::Progress(progress) => self.progress = Some(progress),
            Work::Lines(lines) if self.bytes + lines.len() <= WAITING_MAX_BYTES => {
                self.bytes += lines.len();
                self.lines.push_back(lines);
            }
            Work::Lines(_) => self.left_out += 1,
        }
    }

    fn is_busy(&self) -> bool {
        self.is_writing || !self.lines.is_empty() || self.left_out > 0 || self.progress.is_some()
    }

    fn take(&mut self) -> Option<Work> {
        let work = self.next();
        self.is_writing = work.is_some();
        work
    }

    fn next(&mut self) -> Option<Work> {
        if let Some(lines) = self.lines.pop_front() {
            self.bytes -= lines.len();
            return Some(Work::Lines(lines));
        }
        if self.left_out > 0 {
            let count = mem::take(&mut self.left_out);
            let line = format!(
                "executor: {count} log lines were dropped because nobody read standard error\n"
            );
            return Some(Work::Lines(line.into_bytes()));
        }
        self.progress.take().map(Work::Progress)
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    match ProgressStyle::with_template("{spinner} {elapsed_precise}  {wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Ends the program with what is wrong with its command line, or with the help that was asked for. An argument in it may
/// hold anything.
pub(crate) fn refuse(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    if !text.contains(|c| is_obeyed(c) && c != '\n') {
        error.exit();
    }
    let lines = text.lines().map(|line| format!("{}\n", plain(line)));
    let _ = io::stderr().write_all(lines.collect::<String>().as_bytes());
    std::process::exit(error.exit_code());
}

/// Prints the failure with its causes on one line, or each mistake of a configuration on one, and returns its code.
pub(crate) fn describe(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Config(mistakes) => mistakes
            .lines()
            .for_each(|line| say(&format!("executor: {line}"))),
        failure => {
            let remedy = remedy(failure).map(|remedy| format!("; {remedy}"));
            let what = with_causes(failure);
            say(&format!("executor: {what}{}", remedy.unwrap_or_default()));
        }
    }
    ExitCode::from(failure.code())
}
